//! Both halves of the main job in front of the reader: keys that rest on the workstation, and secrets of a real server that
//! is started for it. Everything is gone afterwards.

mod page;

mod job;

mod workstation;

mod server;

use crate::step::Outcome;
use crate::tools;
use page::Page;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Builds the binary, gets the server if it can be had, and plays the story.
pub(crate) fn demo() -> Outcome {
    let leasehold = tools::leasehold()?;
    let server = tools::server();
    let interrupted = interruption()?;
    let begin = Instant::now();
    let played = play(&leasehold, server.as_deref());
    if played.is_err() && interrupted.load(Ordering::SeqCst) {
        return Err("interrupted; nothing is left running".to_owned());
    }
    played?;
    println!("\nDone in {:.1} s; all that was started and written is gone.", begin.elapsed().as_secs_f32());
    Ok(())
}

fn play(leasehold: &Path, server: Result<&Path, &String>) -> Outcome {
    let mut page = Page::new();
    workstation::play(&mut page, leasehold)?;
    match server {
        Ok(server) => server::play(&mut page, leasehold, server),
        Err(why) => {
            page.step("Left out: the same with a server");
            page.note(&format!("there is none: {why}"));
            Ok(())
        }
    }
}

/// Set by Ctrl-C, so that we live on and clean up. The job gets the signal from the terminal as well, and ends.
fn interruption() -> Outcome<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).map_err(|error| error.to_string())?;
    }
    Ok(flag)
}
