//! Certificates for tests, made by openssl: good ones, and each kind of bad one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// Runs openssl in this folder and gives what it printed. Panics, with what it said, when it fails.
pub fn openssl(folder: &Path, arguments: &str) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("`openssl` is needed: run `apt-get install openssl`");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {complaint}");
    output.stdout
}

/// Makes a new authority: `ca.pem`, which is returned, and `ca.key` of the folder.
pub fn authority(folder: &Path) -> PathBuf {
    openssl(folder, &format!("req -x509 {KEY} -subj /CN=test -days 1 -keyout ca.key -out ca.pem"));
    folder.join("ca.pem")
}

/// Makes `NAME.pem` and `NAME.key`, signed by the folder's authority, with these lines of openssl's extensions, such as
/// `subjectAltName=IP:127.0.0.1`. With fewer than no days it has expired.
pub fn certificate(folder: &Path, name: &str, extensions: &str, days: i8) {
    fs::write(folder.join("extensions"), extensions).expect("a file in a test's folder");
    openssl(folder, &format!("req {KEY} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
    let sign = format!("-CA ca.pem -CAkey ca.key -days {days} -extfile extensions");
    openssl(folder, &format!("x509 -req -in {name}.csr {sign} -out {name}.pem"));
}
