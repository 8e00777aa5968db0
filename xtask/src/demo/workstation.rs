//! Keys that rest on the workstation: no server, no desktop, and no key in any file that can be read.

use super::job::{Place, typed};
use super::page::Page;
use crate::step::{Outcome, output};
use leasehold_testkit::canary;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

const VARIABLE: &str = "OPENAI_API_KEY";

/// Plays the story in a folder of its own.
pub(super) fn play(page: &mut Page, leasehold: &Path) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = Place::new(&folder.path().join("demo"))?;
    Story { page, leasehold, place }.play()
}

/// Everything that the steps share.
struct Story<'a> {
    page: &'a mut Page,
    leasehold: &'a Path,
    place: Place,
}

impl Story<'_> {
    fn play(mut self) -> Outcome {
        let (first, second) = (canary("first"), canary("the-second"));
        self.page.step("A workstation without a server: a manifest points to keys and holds none");
        self.show(&["init"])?;
        self.page.step("A key goes to the keyring, or, as here where there is none, to a sealed file");
        self.set_key(&first)?;
        self.show(&["providers", "--offline"])?;
        self.run(&first, &second)?;
        self.page.step("No file here shows a key");
        self.search(&[&first, &second])?;
        self.page.step("The key is deleted");
        self.show(&["delete-key", "openai_pro"])
    }

    /// A program gets the key by the policy, and the new one while it runs.
    fn run(&mut self, first: &str, second: &str) -> Outcome {
        self.page.step("A program gets the key, for as long as it runs");
        let file = self.place.path("key");
        let file_of = format!("{file}=sealed://agent_vault/api.openai.com/pro_key");
        let words = [
            "run",
            "--provider",
            "openai_pro",
            "--file",
            &file_of,
            "--refresh-interval",
            "1s",
            "--on-change",
            "signal:USR1",
            "--",
            "sh",
            "app.sh",
            VARIABLE,
            &file,
        ];
        let words = words.map(str::to_owned);
        self.page.command(&typed(&words));
        let mut job = self.place.start(self.leasehold, &words, &[])?;
        job.expect(self.page, &self.place, first, "the child has the key")?;
        self.page.step("The key is rotated while the program runs");
        self.set_key(second)?;
        job.expect(self.page, &self.place, second, "the running child sees the new key")?;
        job.end(self.page)
    }

    /// Runs one of our commands and passes on what it says.
    fn show(&self, words: &[&str]) -> Outcome {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        self.page.command(&typed(&words));
        let said = output(&mut self.place.command(self.leasehold, &words))?;
        said.lines().for_each(|line| self.page.note(line.trim_end()));
        Ok(())
    }

    /// The key comes by a pipe: it is never an argument.
    fn set_key(&self, key: &str) -> Outcome {
        let words = ["set-key", "openai_pro", "-"].map(str::to_owned);
        self.page.command(&format!("pass show openai | {}", typed(&words)));
        let mut command = self.place.command(self.leasehold, &words);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut process = command.spawn().map_err(|error| error.to_string())?;
        let written = process.stdin.take().map(|mut input| input.write_all(key.as_bytes()));
        let status = process.wait().map_err(|error| error.to_string())?;
        match written {
            Some(Ok(())) if status.success() => Ok(()),
            _ => Err("`leasehold set-key` failed; what it said is above".to_owned()),
        }
    }

    /// Looks for keys in all files of the story.
    fn search(&self, keys: &[&str]) -> Outcome {
        self.page.command("grep -r KEY .");
        let mut files = Vec::new();
        collect(Path::new(&self.place.path(".")), &mut files)?;
        for file in &files {
            let text = fs::read(file).map_err(|error| error.to_string())?;
            let holds = |key: &&str| text.windows(key.len()).any(|part| part == key.as_bytes());
            if keys.iter().any(holds) {
                return Err(format!("{} holds a key in clear", file.display()));
            }
        }
        self.page.proof(&format!("none of {} files holds a key in clear", files.len()));
        Ok(())
    }
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> Outcome {
    for entry in fs::read_dir(folder).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
