//! What trials measured, kept for the page that tells it.

use crate::tools::workspace;
use std::fs;

/// Keeps one measured line of a row of the fault matrix, such as `06`, or of a campaign, such as `orphans`, in
/// `target/reliability/KEY.txt`. A second run writes over the first. Panics if that cannot be written.
pub fn record(key: &str, line: &str) {
    let folder = workspace().join("target/reliability");
    fs::create_dir_all(&folder).expect("a folder for figures");
    fs::write(folder.join(format!("{key}.txt")), format!("{line}\n")).expect("a file for figures");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random_hex;

    #[test]
    fn a_line_is_kept_and_written_over() {
        let key = format!("test-of-figures-{}", random_hex());
        for line in ["first", "second"] {
            record(&key, line);
        }
        let file = workspace().join(format!("target/reliability/{key}.txt"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "second\n");
        fs::remove_file(file).unwrap();
    }
}
