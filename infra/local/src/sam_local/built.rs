//! The output of `sam build`, and the template and variables that `sam local` uses with it.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::process::{command, project, run_checked};
use crate::error::{BoxError, Context as _, ServeError};

/// Build folder. Not SAM's default, which `sam deploy` uses and may hold another architecture.
const FOLDER: &str = ".aws-sam/local";
const TEMPLATE: &str = ".aws-sam/local/template.json";
const VARIABLES: &str = ".aws-sam/local/variables.json";

/// Dummy credentials. Without any, SAM would pass the user's own to the containers.
pub const DUMMY_CREDENTIALS: [(&str, &str); 5] = [
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
    ("AWS_SESSION_TOKEN", ""),
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
];

/// This machine's architecture, with Lambda's name.
#[must_use]
pub const fn architecture() -> &'static str {
    if ARCH.eq_ignore_ascii_case("aarch64") {
        "arm64"
    } else {
        "x86_64"
    }
}

/// Builds the functions for this machine.
///
/// # Errors
///
/// The build fails. Its output is on standard error.
pub async fn build() -> Result<(), ServeError> {
    let architecture = format!("Architecture={}", architecture());
    let arguments = [
        "build",
        "--build-dir",
        FOLDER,
        "--parameter-overrides",
        &architecture,
    ];
    run_checked("sam build", command("sam", arguments)).await
}

/// The built functions, with a template and variables for `sam local`.
pub struct Built {
    _private: (),
}

impl Built {
    /// Writes the template and the variables for `sam local`.
    ///
    /// SAM passes a function only the variables that its template declares. The project's template
    /// does not declare those of the SDK, so this is a copy that does.
    ///
    /// # Errors
    ///
    /// The functions are not built, or the built template cannot be read.
    pub fn with(
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, ServeError> {
        let variables: BTreeMap<_, _> = DUMMY_CREDENTIALS
            .map(|(name, value)| (name, value.to_owned()))
            .into_iter()
            .chain(variables)
            .collect();
        let path = project().join(FOLDER).join("template.yaml");
        let cannot_read = format!("cannot read {}", path.display());
        let text = fs::read_to_string(&path).context(&cannot_read)?;
        let template = for_this_machine(&text, &variables).context(&cannot_read)?;
        write(TEMPLATE, &template)?;
        // Values in this file override the shell's variables; values in a template do not.
        write(VARIABLES, &json!({ "Parameters": variables }))?;
        Ok(Self { _private: () })
    }

    /// The options of `sam local` for these files, relative to the project's folder.
    #[must_use]
    pub const fn arguments(&self) -> [&'static str; 4] {
        ["--template", TEMPLATE, "--env-vars", VARIABLES]
    }
}

/// The functions' programs.
///
/// # Errors
///
/// The build folder cannot be read.
pub fn programs() -> std::io::Result<Vec<PathBuf>> {
    let folders = fs::read_dir(project().join(FOLDER))?;
    let programs = folders.map(|folder| Ok(folder?.path().join("bootstrap")));
    let programs: std::io::Result<Vec<_>> = programs.collect();
    Ok(programs?.into_iter().filter(|it| it.is_file()).collect())
}

fn write(path: &str, content: &Value) -> Result<(), ServeError> {
    let path = project().join(path);
    fs::write(&path, content.to_string()).context(format!("cannot write {}", path.display()))
}

/// The template with this machine's architecture and with these variables declared.
fn for_this_machine(template: &str, variables: &BTreeMap<&str, String>) -> Result<Value, BoxError> {
    let mut template: Value = serde_saphyr::from_str(template)?;
    for (path, member, value) in variables
        .keys()
        .map(|name| ("/Globals/Function/Environment/Variables", *name, ""))
        .chain([("/Parameters/Architecture", "Default", architecture())])
    {
        let object = template.pointer_mut(path).and_then(Value::as_object_mut);
        let object = object.ok_or_else(|| format!("the template has no {path}"))?;
        object.insert(member.to_owned(), value.into());
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_declares_variables_and_local_architecture() {
        let variables = BTreeMap::from([("TABLE_NAME", "t".to_owned())]);
        let built = "Parameters: {Architecture: {Type: String, Default: other}}\n\
                     Globals: {Function: {Environment: {Variables: {DUE_SHARDS: {Ref: X}}}}}\n";
        let copy = for_this_machine(built, &variables).unwrap();
        assert_eq!(
            copy["Globals"]["Function"]["Environment"]["Variables"],
            json!({ "DUE_SHARDS": { "Ref": "X" }, "TABLE_NAME": "" })
        );
        let architecture = &copy["Parameters"]["Architecture"];
        assert_eq!(architecture["Default"], super::architecture());
        let error = for_this_machine("Parameters: {}", &variables)
            .unwrap_err()
            .to_string();
        assert!(error.contains("/Globals/Function"), "{error}");
    }
}
