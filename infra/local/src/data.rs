//! The files of `--data`: the table, and the secret that tokens are signed with, so that tokens
//! stay valid across runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Context as _, ServeError};
use crate::tokens::{SECRET_LENGTH, random_secret};

/// The first bytes of each `SQLite` file.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The two files, locked for other processes until this is dropped.
pub struct DataFiles {
    /// File of the table.
    pub table: PathBuf,
    /// File of the secret.
    pub secret_file: PathBuf,
    /// The secret.
    pub secret: String,
    /// Whether the table is new.
    pub is_new: bool,
    /// Holds the lock. The table's own file has the locks of the database.
    _locked: File,
}

impl DataFiles {
    /// Opens the files, or creates them.
    ///
    /// # Errors
    ///
    /// A file cannot be opened, is in use, or is not a file of `cargo local`.
    pub fn open(table: &Path) -> Result<Self, ServeError> {
        let what = format!("--data {}", table.display());
        let is_new = match File::open(table) {
            Ok(file) => {
                let mut start = Vec::new();
                file.take(MAGIC.len() as u64)
                    .read_to_end(&mut start)
                    .context(&what)?;
                if !start.is_empty() && start != MAGIC {
                    return Err(ServeError::new(format!(
                        "{what}: this file is not a table of `cargo local`"
                    )));
                }
                start.is_empty()
            }
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            Err(error) => return Err(error).context(&what),
        };

        let mut secret_file = table.as_os_str().to_owned();
        secret_file.push(".secret");
        let secret_file = PathBuf::from(secret_file);
        let what_of_secret = format!("--data {}: {}", table.display(), secret_file.display());
        let mut file = for_me_alone().open(&secret_file).context(&what_of_secret)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ServeError::new(format!(
                    "{what}: another `cargo local` is using this file"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(error).context(&what_of_secret),
        }
        let secret = kept(&mut file).context(&what_of_secret)?;
        if secret.len() < SECRET_LENGTH {
            return Err(ServeError::new(format!(
                "{what_of_secret}: the secret must have {SECRET_LENGTH} characters or more; \
                 delete the file to get a new one"
            )));
        }
        Ok(Self {
            table: table.to_owned(),
            secret_file,
            secret,
            is_new,
            _locked: file,
        })
    }
}

/// Reads the secret of a file. Writes a new secret to a new file.
fn kept(file: &mut File) -> std::io::Result<String> {
    // Also for an existing file.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let mut secret = String::new();
    file.read_to_string(&mut secret)?;
    if secret.is_empty() {
        secret = random_secret();
        file.rewind()?;
        file.write_all(secret.as_bytes())?;
        file.sync_all()?;
    }
    Ok(secret.trim_end().to_owned())
}

/// Options for a file that only its owner can read.
fn for_me_alone() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
