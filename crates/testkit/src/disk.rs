//! The disk of an audit device, which can be filled.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where an audit device writes: a link to a file, or to the device on which no space is ever left.
///
/// The errors are the kernel's own, no right is needed and nothing stays mounted when a test is killed. A server
/// opens the file anew when it gets SIGHUP.
pub(crate) struct Disk {
    link: PathBuf,
    file: PathBuf,
}

impl Disk {
    /// A disk with space, in this folder.
    pub(crate) fn new(folder: &Path) -> std::io::Result<Self> {
        let disk = Self { link: folder.join("audit"), file: folder.join("audit.log") };
        fs::write(&disk.file, "")?;
        disk.set(false)?;
        Ok(disk)
    }

    /// What makes a server audit to it, in HCL. It must not change the rights of what is behind the link.
    pub(crate) fn device(&self) -> String {
        let path = self.link.display();
        format!("audit \"file\" \"disk\" {{\n options = {{ file_path = \"{path}\" mode = \"0000\" }}\n}}\n")
    }

    /// Fills it, or makes space.
    pub(crate) fn set(&self, is_full: bool) -> std::io::Result<()> {
        let next = self.link.with_extension("next");
        symlink(if is_full { Path::new("/dev/full") } else { &self.file }, &next)?;
        fs::rename(next, &self.link)
    }
}
