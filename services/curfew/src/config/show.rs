//! `curfew config check|show|sample`.

use std::process::ExitCode;

use super::layers::Layers;
use super::raw::Raw;
use super::settings::{Kind, SETTINGS};
use super::{ConfigArgs, ConfigCommand, environment, examine, read, valid};
use crate::cli::Failure;

/// The documented sample.
pub(super) const SAMPLE: &str = include_str!("../../../../deploy/curfew.toml");
/// What is shown of a secret.
const MASKED: &str = "********";

/// A setting's name, its value, and where that came from.
type Row = (&'static str, Option<String>, String);

/// Runs the command; a configuration that cannot be used ends it with 1.
pub(crate) fn run(command: &ConfigCommand) -> Result<ExitCode, Failure> {
    match command {
        ConfigCommand::Sample => {
            print!("{SAMPLE}");
            Ok(ExitCode::SUCCESS)
        }
        ConfigCommand::Check { file, json } => {
            let args = ConfigArgs {
                config: Some(file.clone()),
                ..ConfigArgs::default()
            };
            check(&args, *json)
        }
        ConfigCommand::Show { args, json } => show(args, *json),
    }
}

fn check(args: &ConfigArgs, json: bool) -> Result<ExitCode, Failure> {
    let (warnings, judged) = examine(args)?;
    let faults = judged.err().map_or_else(Vec::new, |faulty| faulty.faults);
    let is_ok = faults.is_empty();
    if json {
        println!(
            "{}",
            serde_json::json!({"ok": is_ok, "faults": faults, "warnings": warnings})
        );
    } else {
        for fault in &faults {
            println!("fault    {fault}");
        }
        for warning in &warnings {
            println!("warning  {warning}");
        }
        if is_ok {
            println!("ok       the configuration can be used");
        }
    }
    Ok(if is_ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn show(args: &ConfigArgs, json: bool) -> Result<ExitCode, Failure> {
    let (layers, raw) = read(args, &[], environment())?;
    let rows = rows(&layers, &raw)?;
    if json {
        let all: Vec<_> = rows
            .iter()
            .map(|(path, value, origin)| serde_json::json!({"setting": path, "value": value, "from": origin}))
            .collect();
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        let width = |cell: fn(&Row) -> usize| rows.iter().map(cell).max().unwrap_or(0);
        let path_width = width(|(path, _, _)| path.len());
        let value_width = width(|(_, value, _)| value.as_ref().map_or(0, String::len)).min(40);
        for (path, value, origin) in &rows {
            let value = value.as_deref().unwrap_or("-");
            println!("{path:<path_width$}  {value:<value_width$}  {origin}");
        }
    }
    Ok(match valid::judge(layers, raw) {
        Ok(_) => ExitCode::SUCCESS,
        Err(faulty) => {
            eprintln!("curfew: {faulty}");
            ExitCode::FAILURE
        }
    })
}

/// Every setting, its value and where it came from.
fn rows(layers: &Layers, raw: &Raw) -> Result<Vec<Row>, Failure> {
    let tree = toml::Table::try_from(raw)?;
    let row = |setting: &super::settings::Setting| {
        let value = find(&tree, setting.path).map(|value| match (setting.kind, value) {
            (Kind::Secret, _) => MASKED.to_owned(),
            (_, toml::Value::String(text)) => without_password(text),
            (_, value) => value.to_string(),
        });
        (setting.path, value, layers.origin(setting.path).to_string())
    };
    Ok(SETTINGS.iter().map(row).collect())
}

/// A URL without the user and the password that stand in it and should not.
fn without_password(text: &str) -> String {
    let parts = text.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find('/').unwrap_or(rest.len());
        let (_, address) = rest.get(..end)?.rsplit_once('@')?;
        Some((scheme, address, rest.get(end..)?))
    });
    match parts {
        Some((scheme, address, path)) => format!("{scheme}://{MASKED}@{address}{path}"),
        None => text.to_owned(),
    }
}

fn find<'a>(tree: &'a toml::Table, path: &str) -> Option<&'a toml::Value> {
    match path.split_once('.') {
        None => tree.get(path),
        Some((table, rest)) => find(tree.get(table)?.as_table()?, rest),
    }
}
