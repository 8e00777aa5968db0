//! `leasehold run` on a terminal, typed into a shell with job control.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test harness starts programs and looks at the clock, and a failure is a failed test"
)]

mod stage;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetpgrp, tcsetwinsize};
use stage::{Home, Stage, is_dead, soon, soon_or_tell, state};

/// A run whose child is what follows.
const RUN: &str = "leasehold run --env P=vault://secret/db#password --";
/// What a child does that waits for a file.
const WAIT: &str = "until [ -e finish ]; do sleep 0.02; done";
/// The same without a process of its own: a shell that is just starting one (by vfork) is not seen to stop.
const WAIT_ALONE: &str = "read line <gate";
const SHELLS: [&[&str]; 2] = [&["bash", "--norc", "--noprofile", "--noediting", "-i"], &["dash", "-i"]];

/// A terminal with a shell in it, whose prompt tells the last exit code: `[0]> `.
struct Terminal {
    master: File,
    /// What was shown and not yet waited for.
    shown: Arc<Mutex<String>>,
    shell: Child,
}

impl Terminal {
    fn open(home: &Home, shell: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let side = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let shell = start(home, shell, &side);
        let master = File::from(master);
        let shown = Arc::default();
        record(master.try_clone().unwrap(), Arc::clone(&shown));
        let terminal = Self { master, shown, shell };
        terminal.resize(24, 80);
        terminal.wait_for("[0]> ");
        terminal
    }

    fn write(&self, text: &str) {
        (&self.master).write_all(text.as_bytes()).unwrap();
    }

    /// Waits until a text is shown, and forgets it and all before.
    fn wait_for(&self, text: &str) {
        let told = || format!("{text:?} on the terminal, which shows: {:?}", self.shown.lock().unwrap());
        soon_or_tell(told, || {
            let mut shown = self.shown.lock().unwrap();
            let end = shown.find(text)? + text.len();
            shown.drain(..end);
            Some(())
        });
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).unwrap();
    }

    /// The process group in the foreground.
    fn foreground(&self) -> i32 {
        tcgetpgrp(&self.master).unwrap().as_raw_nonzero().get()
    }

    fn is_the_shells(&self) -> bool {
        self.foreground() == i32::try_from(self.shell.id()).unwrap()
    }

    /// Waits for the prompt after a job was stopped; which code that is differs between shells.
    fn stops(&self) {
        self.wait_for("Stopped");
        self.wait_for("]> ");
        assert!(self.is_the_shells(), "{} has the terminal", self.foreground());
    }

    /// Waits for the prompt after this exit code, when the terminal is to be the shell's.
    fn prompts(&self, code: u8) {
        self.wait_for(&format!("[{code}]> "));
        assert!(self.is_the_shells(), "{} has the terminal", self.foreground());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// A shell that leads a session whose terminal is this.
fn start(home: &Home, shell: &[&str], side: &OwnedFd) -> Child {
    let stream = || side.try_clone().unwrap();
    let mut command = Command::new("setsid");
    command.args(["--ctty", "env", "--default-signal"]).args(shell);
    home.furnish(&mut command);
    command.env("PS1", "[$?]> ").env("TERM", "dumb");
    command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap()
}

/// Records what is shown until the terminal is closed.
fn record(mut master: File, shown: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = master.read(&mut buffer) {
            shown.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    });
}

/// Plays a scene in each of the shells.
fn in_each_shell(scene: impl Fn(&Home, &Terminal)) {
    for shell in SHELLS {
        let home = Stage::shared().home();
        scene(&home, &Terminal::open(&home, shell));
    }
}

/// Types a run of `sh -c SCRIPT`, with something after it.
fn type_run(terminal: &Terminal, script: &str, rest: &str) {
    terminal.write(&format!("{RUN} sh -c '{script}' {rest}\n"));
}

/// Says who it and leasehold are.
const HELLO: &str = "echo $PPID >leasehold; echo $$ >child";

/// Makes the pipe that a child waits at.
fn make_gate(home: &Home) {
    assert!(Command::new("mkfifo").arg(home.path("gate")).status().unwrap().success());
}

/// Lets the child go on.
fn open_gate(home: &Home) {
    std::fs::write(home.path("gate"), "go\n").unwrap();
}

fn wait_until_stopped(pid: i32) {
    soon("the process to be stopped", || (state(pid) == Some('T')).then_some(()));
}

fn wait_until_running(pid: i32) {
    soon("the process to go on", || matches!(state(pid), Some('S' | 'R')).then_some(()));
}

#[test]
fn ctrl_c_reaches_the_child_once_and_the_prompt_is_back() {
    in_each_shell(|home, terminal| {
        let trap = "trap \"echo INT >>got; touch finish\" INT; trap \"kill -INT \\$\\$\" EXIT";
        type_run(terminal, &format!("{trap}; {HELLO}; {WAIT}; trap - INT EXIT; kill -INT $$"), "");
        let child = home.number("child");
        assert_eq!(terminal.foreground(), child, "the child has the terminal");
        terminal.write("\x03");
        terminal.prompts(130);
        assert_eq!(home.read("got"), "INT\n");
        assert!(is_dead(child) && is_dead(home.number("leasehold")));
    });
}

#[test]
fn after_a_prompt_for_a_key_the_terminal_shows_what_is_typed() {
    in_each_shell(|_, terminal| {
        terminal.write("leasehold init --manifest m.json\n");
        terminal.prompts(0);
        // What is typed: Ctrl-C, Ctrl-\, and a key with a Ctrl-Z, which stops nothing, and a character taken back.
        for (typed, code) in [("\x03", 130), ("\x1c", 131), ("\x1akeyx\x7f\n", 0)].repeat(3) {
            terminal.write("leasehold set-key --manifest m.json --store sealed openai_pro\n");
            terminal.wait_for("Key of openai_pro (not shown): ");
            terminal.write(typed);
            terminal.prompts(code);
            terminal.write("stty -a | tr ' ;' '\\n\\n' | grep -x -e -*echo -e -*icanon | tr a-z A-Z\n");
            terminal.wait_for("\nICANON\r");
            terminal.wait_for("\nECHO\r");
        }
        let run = "leasehold run --manifest m.json --store sealed --provider openai_pro -- sh -c";
        terminal.write(&format!("{run} 'echo [$OPENAI_API_KEY]'\n"));
        terminal.wait_for("\n[key]\r");
    });
}

#[test]
fn a_key_of_several_lines_is_not_stored_and_no_line_of_it_is_run() {
    in_each_shell(|home, terminal| {
        terminal.write("leasehold init --manifest m.json\n");
        terminal.prompts(0);
        let paste = |text: &str, code: u8| {
            terminal.write("leasehold set-key --manifest m.json --store sealed openai_pro\n");
            terminal.wait_for("Key of openai_pro (not shown): ");
            terminal.write(text);
            terminal.prompts(code);
        };
        paste("key\n\n", 0);
        paste("-----BEGIN KEY-----\ntouch ran\n-----END KEY-----\n", 2);
        paste(&format!("line\n{}", "touch ran\n".repeat(300)), 2);
        let run = "leasehold run --manifest m.json --store sealed --provider openai_pro -- sh -c";
        terminal.write(&format!("{run} 'echo [$OPENAI_API_KEY]'\n"));
        terminal.wait_for("\n[key]\r");
        assert!(!home.path("ran").exists());
    });
}

#[test]
fn ctrl_backslash_ends_the_child_and_its_code_is_told() {
    in_each_shell(|home, terminal| {
        type_run(terminal, &format!("{HELLO}; exec sleep 60"), "");
        home.number("child");
        terminal.write("\x1c");
        terminal.prompts(131);
    });
}

#[test]
fn ctrl_z_stops_the_job_and_fg_goes_on_with_it() {
    in_each_shell(|home, terminal| {
        type_run(terminal, &format!("{HELLO}; exec cat"), "");
        let (child, leasehold) = (home.number("child"), home.number("leasehold"));
        for word in ["one", "two"] {
            // Once by the terminal's echo and once by the child.
            terminal.write(&format!("{word}\n"));
            terminal.wait_for(&format!("{word}\r\n{word}\r\n"));
            terminal.write("\x1a");
            terminal.stops();
            wait_until_stopped(child);
            wait_until_stopped(leasehold);
            terminal.write("fg\n");
            terminal.wait_for("leasehold run");
            wait_until_running(child);
            soon("the child to have the terminal", || (terminal.foreground() == child).then_some(()));
        }
        terminal.write("\x04");
        terminal.prompts(0);
    });
}

#[test]
fn bg_lets_the_job_run_on_and_fg_brings_it_back() {
    in_each_shell(|home, terminal| {
        make_gate(home);
        type_run(terminal, &format!("{HELLO}; {WAIT_ALONE}; read line; echo \"read $line\"; exit 7"), "");
        let (child, leasehold) = (home.number("child"), home.number("leasehold"));
        terminal.write("\x1a");
        terminal.stops();
        terminal.write("bg\n");
        terminal.prompts(0);
        wait_until_running(leasehold);
        wait_until_running(child);
        // Now it wants to read, which the background may not.
        open_gate(home);
        wait_until_stopped(child);
        wait_until_stopped(leasehold);
        assert!(terminal.is_the_shells());
        terminal.write("fg\n");
        wait_until_running(child);
        terminal.write("blue\n");
        terminal.wait_for("read blue");
        terminal.prompts(7);
    });
}

#[test]
fn a_job_that_runs_can_be_brought_to_the_front_and_interrupted() {
    in_each_shell(|home, terminal| {
        type_run(terminal, &format!("trap \"echo INT >>got; exit 3\" INT; {HELLO}; {WAIT}"), "&");
        home.number("child");
        terminal.prompts(0);
        terminal.write("fg\n");
        terminal.wait_for("leasehold run");
        soon("the job to have the terminal", || (!terminal.is_the_shells()).then_some(()));
        terminal.write("\x03");
        terminal.prompts(3);
        assert_eq!(home.read("got"), "INT\n");
    });
}

#[test]
fn a_job_that_runs_can_be_brought_to_the_front_and_read() {
    in_each_shell(|home, terminal| {
        type_run(terminal, &format!("{HELLO}; {WAIT}; read line; echo \"read $line\""), "&");
        home.number("child");
        terminal.prompts(0);
        terminal.write("fg\n");
        terminal.wait_for("leasehold run");
        soon("the job to have the terminal", || (!terminal.is_the_shells()).then_some(()));
        home.touch("finish");
        terminal.write("blue\n");
        terminal.wait_for("read blue");
        terminal.prompts(0);
    });
}

#[test]
fn a_background_job_runs_through_and_leaves_the_terminal_alone() {
    in_each_shell(|home, terminal| {
        type_run(terminal, &format!("{HELLO}; {WAIT}; touch done"), "&");
        let leasehold = home.number("leasehold");
        terminal.prompts(0);
        home.touch("finish");
        soon("the end of the job", || is_dead(leasehold).then_some(()));
        assert!(home.path("done").exists() && terminal.is_the_shells(), "{}", terminal.foreground());
        terminal.write("wait; (exit 9)\n");
        terminal.prompts(9);
    });
}

#[test]
fn a_job_that_ends_after_bg_leaves_the_terminal_alone() {
    in_each_shell(|home, terminal| {
        make_gate(home);
        type_run(terminal, &format!("{HELLO}; {WAIT_ALONE}"), "");
        let (child, leasehold) = (home.number("child"), home.number("leasehold"));
        terminal.write("\x1a");
        terminal.stops();
        terminal.write("bg\n");
        terminal.prompts(0);
        wait_until_running(child);
        open_gate(home);
        soon("the end of the job", || is_dead(leasehold).then_some(()));
        assert!(terminal.is_the_shells(), "{} has the terminal", terminal.foreground());
    });
}

#[test]
fn the_child_has_the_size_of_the_terminal_and_hears_of_a_change_once() {
    in_each_shell(|home, terminal| {
        let script = format!("trap \"stty size >>sizes\" WINCH; stty size >sizes; {HELLO}; {WAIT}");
        type_run(terminal, &script, "");
        home.number("child");
        assert_eq!(home.read("sizes"), "24 80\n");
        terminal.resize(30, 100);
        home.wait_for("sizes", "30 100\n");
        home.touch("finish");
        terminal.prompts(0);
        assert_eq!(home.read("sizes"), "24 80\n30 100\n");
    });
}

#[test]
fn in_a_pipeline_ctrl_c_and_ctrl_z_are_for_all() {
    in_each_shell(|home, terminal| {
        type_run(terminal, &format!("{HELLO}; exec cat"), "| sh -c 'echo $$ >second; exec cat'");
        let (child, second) = (home.number("child"), home.number("second"));
        terminal.write("one\n");
        terminal.wait_for("one\r\none\r\n");
        terminal.write("\x1a");
        terminal.stops();
        for pid in [child, second, home.number("leasehold")] {
            wait_until_stopped(pid);
        }
        terminal.write("fg\n");
        for pid in [child, second, home.number("leasehold")] {
            wait_until_running(pid);
        }
        terminal.write("two\n");
        terminal.wait_for("two\r\ntwo\r\n");
        terminal.write("\x03");
        terminal.prompts(130);
        soon("the end of all", || [child, second].into_iter().all(is_dead).then_some(()));
    });
}

#[test]
fn the_second_of_a_pipeline_can_read_the_terminal_as_a_pager_does() {
    in_each_shell(|home, terminal| {
        let pager = "read text; read line </dev/tty; echo \"$text $line\"; touch finish";
        type_run(terminal, &format!("{HELLO}; echo light; {WAIT}"), &format!("| sh -c '{pager}'"));
        // It reads while the first one still runs.
        home.number("child");
        terminal.write("blue\n");
        terminal.wait_for("light blue");
        terminal.prompts(0);
    });
}

#[test]
fn in_a_script_ctrl_c_reaches_the_child_once() {
    in_each_shell(|home, terminal| {
        let child = format!("trap \"echo INT >>got; exit 3\" INT; {HELLO}; {WAIT}");
        std::fs::write(home.path("script"), format!("{RUN} sh -c '{child}'\nexit $?\n")).unwrap();
        // The shell of the script has a say too: it goes on when the command has dealt with the signal.
        terminal.write("bash script\n");
        home.number("child");
        terminal.write("\x03");
        terminal.prompts(3);
        assert_eq!(home.read("got"), "INT\n");
    });
}

#[test]
fn a_child_that_ended_with_the_terminal_leaves_it_to_the_shell() {
    in_each_shell(|home, terminal| {
        type_run(terminal, "exit 5", "");
        terminal.prompts(5);
        terminal.write("nothing-of-this-name\n");
        terminal.prompts(127);
        terminal.write(&format!("{RUN} ./not-there\n"));
        terminal.prompts(127);
        terminal.write(&format!("{RUN} {}\n", home.path("tmp").display()));
        terminal.prompts(126);
    });
}
