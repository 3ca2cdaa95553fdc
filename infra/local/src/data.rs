//! What `--data` keeps: the table in its file, and beside it the secret that tokens are signed
//! with, so that tokens stay good across runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Context as _, ServeError};
use crate::tokens::{SECRET_LENGTH, random_secret};

/// How each file of `SQLite` begins.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The two files. Nobody else opens them as long as this lives.
pub struct DataFiles {
    /// The table's.
    pub table: PathBuf,
    /// The secret's.
    pub secret_file: PathBuf,
    /// The secret.
    pub secret: String,
    /// Whether there was no table yet.
    pub is_new: bool,
    /// Holds the lock. Not the table's own file, whose locks are the database's business.
    _locked: File,
}

impl DataFiles {
    /// Opens the files, or makes them.
    ///
    /// # Errors
    ///
    /// A file that holds something else, cannot be opened or is in use: a sentence.
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

/// The secret in a file, which a new file is given.
fn kept(file: &mut File) -> std::io::Result<String> {
    // Also of a file that was there already.
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

/// How a file is opened or made that nobody but its owner may read.
fn for_me_alone() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
