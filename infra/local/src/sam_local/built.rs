//! What `sam build` makes, and what `sam local` is told about it.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::programs::{command, project, run_checked};
use crate::serve::{Context, ServeError};

/// Not SAM's default: what lies there is for `sam deploy`, and may be for another architecture.
const FOLDER: &str = ".aws-sam/local";
const TEMPLATE: &str = ".aws-sam/local/template.json";
const VARIABLES: &str = ".aws-sam/local/variables.json";

/// Credentials that open nothing. Were there none, SAM would hand on those of whoever calls it.
pub const DUMMY_CREDENTIALS: [(&str, &str); 5] = [
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
    ("AWS_SESSION_TOKEN", ""),
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
];

/// This machine's architecture, as Lambda names it.
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
/// That the build has failed. What it says is on standard error.
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

/// The built functions, with a template for this machine beside them.
pub struct Built {
    _private: (),
}

impl Built {
    /// Writes the template and the variables for `sam local`.
    ///
    /// SAM gives a function only those variables that its template declares. The project's has no
    /// reason to declare those of the SDK, so this is a copy that does.
    ///
    /// # Errors
    ///
    /// Nothing is built, or cannot be understood.
    pub fn with(
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, ServeError> {
        let variables: BTreeMap<_, _> = DUMMY_CREDENTIALS
            .map(|(name, value)| (name, value.to_owned()))
            .into_iter()
            .chain(variables)
            .collect();
        let path = project().join(FOLDER).join("template.yaml");
        let read = fs::read_to_string(&path).map_err(|error| error.to_string());
        let template = read
            .and_then(|text| for_this_machine(&text, &variables))
            .context(format!("read {}", path.display()))?;
        write(TEMPLATE, &template)?;
        // This file goes before the shell's variables; what a template says does not.
        write(VARIABLES, &json!({ "Parameters": variables }))?;
        Ok(Self { _private: () })
    }

    /// What `sam local` has to be told of it, in the project's folder.
    #[must_use]
    pub const fn arguments(&self) -> [&'static str; 4] {
        ["--template", TEMPLATE, "--env-vars", VARIABLES]
    }

    /// The functions' programs.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn programs(&self) -> std::io::Result<Vec<PathBuf>> {
        let folders = fs::read_dir(project().join(FOLDER))?;
        let programs = folders.map(|folder| Ok(folder?.path().join("bootstrap")));
        let programs: std::io::Result<Vec<_>> = programs.collect();
        Ok(programs?.into_iter().filter(|it| it.is_file()).collect())
    }
}

fn write(path: &str, content: &Value) -> Result<(), ServeError> {
    let path = project().join(path);
    fs::write(&path, content.to_string()).context(format!("write {}", path.display()))
}

/// The template with this machine's architecture, and with these variables declared.
fn for_this_machine(template: &str, variables: &BTreeMap<&str, String>) -> Result<Value, String> {
    let mut template: Value =
        serde_saphyr::from_str(template).map_err(|error| error.to_string())?;
    for (path, member, value) in variables
        .keys()
        .map(|name| ("/Globals/Function/Environment/Variables", *name, ""))
        .chain([("/Parameters/Architecture", "Default", architecture())])
    {
        let object = template.pointer_mut(path).and_then(Value::as_object_mut);
        let object = object.ok_or_else(|| format!("there is no {path}"))?;
        object.insert(member.to_owned(), value.into());
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_declares_the_variables_and_has_this_machines_architecture() {
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
        let error = for_this_machine("Parameters: {}", &variables).unwrap_err();
        assert!(error.contains("/Globals/Function"), "{error}");
    }
}
