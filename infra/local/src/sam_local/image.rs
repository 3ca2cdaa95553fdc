//! The image that the functions run in: AWS's own, or a stand-in where that cannot be had.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::built::{Built, architecture};
use super::programs::{command, output, project};
use crate::serve::ServeError;
use crate::terminal::{ERROR, err, styled};

/// AWS's image of the template's runtime.
const REAL: &str = "public.ecr.aws/lambda/provided:al2023";
/// A name of its own, so that nothing ever takes it for AWS's.
const STAND_IN: &str = "session-cleanup/lambda-stand-in";

/// An image that the engine has.
pub enum Image {
    /// AWS's.
    Real(String),
    /// One made of this machine's own files.
    StandIn(String),
}

impl Image {
    /// Finds AWS's image, pulls it, or makes the stand-in, and says so.
    ///
    /// # Errors
    ///
    /// Neither can be had.
    pub async fn find(built: &Built) -> Result<Self, ServeError> {
        let name = format!("{REAL}-{}", architecture());
        if docker(&["image", "inspect", &name]).await.is_ok() {
            return Ok(Self::Real(name));
        }
        let Err(why) = docker(&["pull", "--quiet", &name]).await else {
            return Ok(Self::Real(name));
        };
        let stand_in = format!("{STAND_IN}:{}", architecture());
        make(&stand_in, built).await.map_err(|error| {
            ServeError::new(format!(
                "{name} cannot be had ({why}), and no stand-in be made: {error}"
            ))
        })?;
        err(format!(
            "{} the functions run in a stand-in made of this machine's C library, not in {name}: {why}",
            styled(ERROR, "stand-in:")
        ));
        Ok(Self::StandIn(stand_in))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Real(name) | Self::StandIn(name) => name,
        }
    }

    /// What `sam local` has to be told of it.
    #[must_use]
    pub fn arguments(&self) -> Vec<&str> {
        match self {
            Self::Real(_) => vec!["--skip-pull-image"],
            Self::StandIn(name) => vec!["--skip-pull-image", "--invoke-image", name],
        }
    }
}

async fn docker(arguments: &[&str]) -> Result<String, String> {
    output(command("docker", arguments)).await
}

/// Makes an image of what the functions need of this machine, and of what SAM needs to put its
/// emulator into it.
async fn make(name: &str, built: &Built) -> Result<(), String> {
    let folder = project().join(".aws-sam/stand-in");
    let archive = folder.with_extension("tar");
    let why = |error: std::io::Error| error.to_string();
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(why)?;
    }
    let mut files = BTreeSet::from([busybox()?]);
    for program in built.programs().map_err(why)? {
        files.extend(libraries(&program).await?);
    }
    for file in files {
        copy(&file, &folder.join(file.strip_prefix("/").unwrap_or(&file))).map_err(why)?;
    }
    if let Some(certificates) = certificates() {
        // The first place in which the functions look.
        copy(
            certificates,
            &folder.join("etc/ssl/certs/ca-certificates.crt"),
        )
        .map_err(why)?;
    }
    fs::create_dir_all(folder.join("tmp")).map_err(why)?;
    fs::create_dir_all(folder.join("bin")).map_err(why)?;
    for tool in ["sh", "mv", "chmod"] {
        symlink(busybox()?, folder.join("bin").join(tool)).map_err(why)?;
    }
    let (from, to) = (folder.to_string_lossy(), archive.to_string_lossy());
    output(command(
        "tar",
        ["--create", "--directory", &from, "--file", &to, "."],
    ))
    .await?;
    docker(&["import", &to, name]).await?;
    // What SAM has made of an earlier stand-in. There may be none.
    let repository = name.split(':').next().unwrap_or(name);
    let earlier = format!("{repository}:rapid-{}", architecture());
    let _ = docker(&["image", "rm", "--force", &earlier]).await;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).map(|_| ())
}

/// A shell and the tools in one program that needs no library.
fn busybox() -> Result<PathBuf, String> {
    let found = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    let found = found.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| "there is no busybox (apt-get install busybox-static)".to_owned())
}

/// The root certificates of this machine.
fn certificates() -> Option<&'static Path> {
    let places = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
    ];
    places
        .map(Path::new)
        .into_iter()
        .find(|path| path.is_file())
}

/// The libraries that a program loads, and its loader.
async fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let printed = output(command("ldd", [program])).await;
    let printed = printed.map_err(|error| format!("ldd {}: {error}", program.display()))?;
    Ok(paths(&printed))
}

/// The paths in what `ldd` prints: `libc.so.6 => /lib/libc.so.6 (0x…)`, `/lib64/ld.so (0x…)`.
fn paths(printed: &str) -> BTreeSet<PathBuf> {
    let words = printed.split_whitespace();
    words
        .filter(|it| it.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_their_loader_are_found_in_what_ldd_prints() {
        let printed = "\tlinux-vdso.so.1 (0x00007fcf136fc000)\n\
                       \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fcf12a1e000)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007fcf136fe000)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(paths(printed), expected.map(PathBuf::from).into());
    }
}
