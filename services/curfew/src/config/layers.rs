//! Defaults, file, environment, flags: one tree, and where each value came from.
//!
//! **Invariant:** a later layer wins as a whole value; nothing unknown is dropped, and nothing secret
//! comes from the file or from an argument.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::settings::{Kind, Setting, is_unknown_variable, nearest};

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// The file, and the line in it.
    File(PathBuf, usize),
    /// A word of the environment.
    Environment(String),
    /// An argument.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// What is said, by whom.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// The values.
    pub(crate) tree: toml::Table,
    /// Where each came from.
    pub(crate) origins: BTreeMap<&'static str, Origin>,
    /// What is wrong, all of it.
    pub(crate) faults: Vec<String>,
    /// What is odd and stops nobody.
    pub(crate) warnings: Vec<String>,
}

impl Layers {
    /// Where a setting came from.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        self.origins.get(path).cloned().unwrap_or(Origin::Default)
    }

    /// Notes a fault of a setting, and where it stands.
    pub(crate) fn fault(&mut self, path: &str, what: impl fmt::Display) {
        let fault = match self.origin(path) {
            Origin::Default => format!("`{path}`: {what}"),
            origin @ (Origin::File(..) | Origin::Environment(_) | Origin::Flag(_)) => {
                format!("{origin}: `{path}`: {what}")
            }
        };
        self.faults.push(fault);
    }

    /// The file's values; a fault names its line.
    pub(crate) fn file(&mut self, file: &Path, text: &str) {
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => return self.faults.push(format!("{}: {error}", file.display())),
        };
        self.walk(file, text, "", table.get_ref());
    }

    fn walk(&mut self, file: &Path, text: &str, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = format!("{prefix}{}", key.get_ref());
            let line = 1 + text
                .get(..key.span().start)
                .map_or(0, |before| before.matches('\n').count());
            let at = format!("{}:{line}", file.display());
            if let (DeValue::Table(inner), None) = (value.get_ref(), Setting::of(&path)) {
                self.walk(file, text, &format!("{path}."), inner);
                continue;
            }
            let Some(setting) = Setting::of(&path) else {
                self.faults
                    .push(format!("{at}: unknown key `{path}`{}", nearest(&path)));
                continue;
            };
            if setting.kind == Kind::Secret {
                self.faults.push(format!(
                    "{at}: `{path}` is a secret and has no place here: name a file with `{path}_file`, or set {}",
                    setting.variable()
                ));
                continue;
            }
            match scalar(value.get_ref()) {
                Some(value) => self.put(setting, value, Origin::File(file.to_owned(), line)),
                None => self
                    .faults
                    .push(format!("{at}: `{path}` is one value, not a list or a table")),
            }
        }
    }

    /// The environment's values.
    pub(crate) fn environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (name, text) in variables {
            if let Some(setting) = super::settings::SETTINGS
                .iter()
                .find(|setting| setting.variable() == name)
            {
                self.text(setting, &text, Origin::Environment(name));
            } else if is_unknown_variable(&name) {
                let path = name
                    .trim_start_matches("CURFEW_")
                    .to_lowercase()
                    .replace('_', ".");
                self.warnings
                    .push(format!("environment {name} is no setting{}", nearest(&path)));
            }
        }
    }

    /// An argument's value.
    pub(crate) fn flag(&mut self, flag: &str, path: &str, text: &str) {
        match Setting::of(path) {
            Some(setting) if setting.kind == Kind::Secret => self.faults.push(format!(
                "{flag}: `{path}` is a secret, and arguments show in process lists: name a file with \
                 `{path}_file`, or set {}",
                setting.variable()
            )),
            Some(setting) => self.text(setting, text, Origin::Flag(flag.to_owned())),
            None => self
                .faults
                .push(format!("{flag}: unknown setting `{path}`{}", nearest(path))),
        }
    }

    fn text(&mut self, setting: &'static Setting, text: &str, origin: Origin) {
        match setting.value(text) {
            Ok(value) => self.put(setting, value, origin),
            Err(what) => self.faults.push(format!("{origin}: `{}`: {what}", setting.path)),
        }
    }

    fn put(&mut self, setting: &'static Setting, value: toml::Value, origin: Origin) {
        let mut tables = setting.path.split('.').collect::<Vec<_>>();
        let Some(key) = tables.pop() else { return };
        let mut table = &mut self.tree;
        for name in tables {
            let inner = table
                .entry(name)
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            // Only tables are ever put where a setting's name has a dot.
            let toml::Value::Table(inner) = inner else { return };
            table = inner;
        }
        table.insert(key.to_owned(), value);
        self.origins.insert(setting.path, origin);
    }
}

/// A value that stands alone.
fn scalar(value: &DeValue<'_>) -> Option<toml::Value> {
    match value {
        DeValue::String(text) => Some(toml::Value::String(text.to_string())),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix())
                .ok()
                .map(toml::Value::Integer)
        }
        DeValue::Float(number) => number
            .as_str()
            .replace('_', "")
            .parse()
            .ok()
            .map(toml::Value::Float),
        DeValue::Boolean(is) => Some(toml::Value::Boolean(*is)),
        DeValue::Datetime(at) => Some(toml::Value::Datetime(*at)),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
