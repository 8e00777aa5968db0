//! Fuzzes the files of a workstation: manifests and `.env` files. What is taken stays the same when it is written and
//! read again; a fault points into the text, and none quotes a value.
#![no_main]

use leasehold::env_file;
use leasehold::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match text.split_at_checked(1) {
        Some(("m", rest)) => manifest(rest),
        Some((_, rest)) => variables(rest),
        None => {}
    }
});

fn manifest(text: &str) {
    let lines = text.split('\n').count();
    match Manifest::parse(text) {
        Ok(manifest) => {
            let again = Manifest::parse(&manifest.to_text()).expect("what we write we read");
            assert_eq!(again.providers(), manifest.providers());
            assert_eq!(again.to_text(), manifest.to_text());
        }
        Err(faults) => {
            assert!(!faults.0.is_empty());
            for fault in faults.0 {
                assert!((1..=lines).contains(&fault.line) && fault.column >= 1, "{fault}");
            }
        }
    }
}

fn variables(text: &str) {
    let lines = text.split(['\n', '\r']).count();
    match env_file::parse(text) {
        Ok(variables) => {
            for (nth, variable) in variables.iter().enumerate() {
                assert!((1..=lines).contains(&variable.line), "{variable:?}");
                assert!(!variable.name.is_empty() && !variable.name.contains(['=', '\0', '\n']), "{variable:?}");
                assert!(variables[..nth].iter().all(|other| other.name != variable.name), "{variable:?}");
            }
        }
        Err(faults) => assert!(faults.iter().all(|fault| (1..=lines).contains(&fault.0)), "{faults:?}"),
    }
}
