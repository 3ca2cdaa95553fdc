//! The image that the functions run in: AWS's, or a stand-in on a machine that cannot pull it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use session_cleanup_local::sam_local::built::{architecture, build, programs};
use session_cleanup_local::sam_local::process::{command, output, project};

/// AWS's image of the template's runtime.
const REAL: &str = "public.ecr.aws/lambda/provided:al2023";
/// Name of the stand-in. Not AWS's name, so that nothing mistakes it for AWS's image.
const STAND_IN: &str = "session-cleanup/lambda-stand-in";

/// The options of `sam local` that select the image. Builds a stand-in if AWS's image is not
/// present and cannot be pulled.
pub(crate) async fn sam_options() -> Vec<String> {
    let name = format!("{REAL}-{}", architecture());
    let real = vec!["--skip-pull-image".to_owned()];
    if docker(&["image", "inspect", &name]).await.is_ok() {
        return real;
    }
    let Err(why) = docker(&["pull", "--quiet", &name]).await else {
        return real;
    };
    let stand_in = format!("{STAND_IN}:{}", architecture());
    build().await.unwrap();
    make(&stand_in).await.unwrap();
    eprintln!("{name} cannot be pulled ({why}); the functions run in {stand_in}");
    ["--skip-pull-image", "--invoke-image", &stand_in]
        .map(str::to_owned)
        .into()
}

async fn docker(arguments: &[&str]) -> Result<String, String> {
    output(command("docker", arguments)).await
}

/// Makes an image from the files of this machine that the functions need, and the tools that SAM
/// needs to add its emulator.
async fn make(name: &str) -> Result<(), String> {
    let folder = project().join(".aws-sam/stand-in");
    let archive = folder.with_extension("tar");
    let why = |error: std::io::Error| error.to_string();
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(why)?;
    }
    let mut files = BTreeSet::from([busybox()?]);
    for program in programs().map_err(why)? {
        files.extend(libraries(&program).await?);
    }
    for file in files {
        copy(&file, &folder.join(file.strip_prefix("/").unwrap_or(&file))).map_err(why)?;
    }
    if let Some(certificates) = certificates() {
        // The first path where the functions look.
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
    // Remove the image that SAM made from an earlier stand-in, if any.
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

/// Path of a statically linked busybox: a shell and the tools in one program.
fn busybox() -> Result<PathBuf, String> {
    let found = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    let found = found.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| "busybox is not installed (apt-get install busybox-static)".to_owned())
}

/// Path of this machine's root certificates.
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

/// The shared libraries of a program, and its loader.
async fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let printed = output(command("ldd", [program])).await;
    let printed = printed.map_err(|error| format!("ldd {}: {error}", program.display()))?;
    Ok(paths(&printed))
}

/// The paths in the output of `ldd`: `libc.so.6 => /lib/libc.so.6 (0x…)`, `/lib64/ld.so (0x…)`.
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
    fn finds_libraries_and_loader_in_ldd_output() {
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
