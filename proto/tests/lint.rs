//! The rules of Buf's STANDARD and COMMENTS categories that matter here, and our own, over the descriptors.
//!
//! `buf lint` checks the same from `buf.yaml`; this test needs no tool, so nobody merges without it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::HashMap;
use std::path::Path;

use prost_reflect::DescriptorPool;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, ServiceDescriptorProto};

#[path = "../build/compile.rs"]
mod compile;

/// Roles that a caller may hold; a comment that names none of them must say that anybody may call.
const ROLES: [&str; 6] = [
    "`sessions.write`",
    "`sessions.read`",
    "`tokens.issue`",
    "`revocations.write`",
    "`revocations.read`",
    "`admin`",
];
/// Calls that change something, or use another method than GET, and need no `request_id`, with the reason.
const WITHOUT_REQUEST_ID: [(&str, &str); 7] = [
    ("RefreshTokens", "a retry converges on the same successor"),
    ("BatchCreateRevocations", "each of its requests has one"),
    (
        "ReportProgress",
        "watermarks only rise and `report_id` counts once",
    ),
    ("WatchRevocations", "reads"),
    ("WaitRevocation", "reads"),
    ("IntrospectToken", "reads; a token does not belong in an address"),
    ("ExplainToken", "reads; a token does not belong in an address"),
];

fn files() -> Vec<FileDescriptorProto> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let set = compile::compile(root, true).unwrap().file_descriptor_set();
    set.file
        .into_iter()
        .filter(|file| file.package().starts_with("curfew."))
        .collect()
}

#[test]
fn the_sources_keep_the_rules() {
    let files = files();
    assert!(files.len() >= 20, "the sources were not found");
    let findings = lint(&files);
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

#[test]
fn every_call_of_a_public_service_has_an_http_rule() {
    let pool = DescriptorPool::decode(curfew_proto::FILE_DESCRIPTOR_SET).unwrap();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let mut calls = 0;
    for method in pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
    {
        calls += 1;
        assert!(
            method.options().has_extension(&http),
            "{} has no HTTP rule",
            method.full_name()
        );
    }
    assert!(calls > 60, "only {calls} calls were found");
}

#[test]
fn every_rule_finds_its_fault() {
    type Fault = fn(&mut FileDescriptorProto);
    let cases: [(&str, Fault); 12] = [
        ("package", |file| {
            file.package = Some("curfew.session.v2".to_owned())
        }),
        ("go_package", |file| {
            file.options.as_mut().unwrap().go_package = None
        }),
        ("csharp_namespace", |file| {
            file.options.as_mut().unwrap().csharp_namespace = None
        }),
        ("has no comment", |file| {
            file.source_code_info.as_mut().unwrap().location.clear()
        }),
        ("who may call", |file| {
            for location in &mut file.source_code_info.as_mut().unwrap().location {
                location.leading_comments = Some("Opens a session.".to_owned());
            }
        }),
        ("`Service`", |file| {
            file.service[0].name = Some("Sessions".to_owned())
        }),
        ("CreateSessionRequest", |file| {
            file.service[0].method[0].input_type = Some(".curfew.session.v1.Session".to_owned());
        }),
        ("one service", |file| file.service.push(file.service[0].clone())),
        ("snake_case", |file| {
            file.message_type[0].field[0].name = Some("requestId".to_owned())
        }),
        ("SESSION_ORDER_", |file| {
            file.enum_type[0].value[1].name = Some("NEWEST".to_owned())
        }),
        ("_UNSPECIFIED", |file| {
            file.enum_type[0].value[0].name = Some("SESSION_ORDER_NONE".to_owned())
        }),
        ("request_id", |file| {
            file.message_type[0]
                .field
                .retain(|field| field.name() != "request_id")
        }),
    ];
    let sound = files()
        .into_iter()
        .find(|file| file.name().ends_with("session_service.proto"))
        .unwrap();
    assert_eq!(lint(std::slice::from_ref(&sound)), Vec::<String>::new());
    for (expected, fault) in cases {
        let mut file = sound.clone();
        fault(&mut file);
        let findings = lint(&[file]);
        assert!(
            findings.iter().any(|finding| finding.contains(expected)),
            "a fault against `{expected}` was not found: {findings:?}"
        );
    }
}

fn lint(files: &[FileDescriptorProto]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files {
        let mut linter = Linter {
            file,
            comments: comments(file),
            findings: Vec::new(),
        };
        linter.file();
        findings.append(&mut linter.findings);
    }
    let mut users = HashMap::<&str, usize>::new();
    let methods = || {
        files
            .iter()
            .flat_map(|file| &file.service)
            .flat_map(|service| &service.method)
    };
    for method in methods() {
        *users.entry(method.input_type()).or_default() += 1;
        *users.entry(method.output_type()).or_default() += 1;
    }
    let shared = users.into_iter().filter(|(_, uses)| *uses > 1);
    findings.extend(shared.map(|(name, uses)| format!("{name} is used by calls {uses} times, not once")));
    findings
}

/// Leading comments by the path of what they lead.
fn comments(file: &FileDescriptorProto) -> HashMap<Vec<i32>, String> {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .map(|location| (location.path.clone(), location.leading_comments().to_owned()))
        .collect()
}

struct Linter<'a> {
    file: &'a FileDescriptorProto,
    comments: HashMap<Vec<i32>, String>,
    findings: Vec<String>,
}

impl Linter<'_> {
    fn find(&mut self, finding: String) {
        self.findings.push(format!("{}: {finding}", self.file.name()));
    }

    fn require(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.find(finding());
        }
    }

    /// The comment of what lies at `path`; numbers are those of `descriptor.proto`.
    fn comment(&mut self, path: &[i32], what: &str) -> String {
        let comment = self
            .comments
            .get(path)
            .map_or("", |comment| comment.trim())
            .to_owned();
        self.require(!comment.is_empty(), || format!("{what} has no comment"));
        comment
    }

    fn file(&mut self) {
        let file = self.file;
        let (folder, name) = file.name().rsplit_once('/').unwrap_or_default();
        self.require(file.syntax() == "proto3", || "is not proto3".to_owned());
        self.require(folder.replace('/', ".") == file.package(), || {
            format!("package {} is not its folder {folder}", file.package())
        });
        self.require(file.package().ends_with(".v1"), || {
            format!("package {} has no version", file.package())
        });
        self.require(is_lower_snake(name.trim_end_matches(".proto")), || {
            format!("file name {name} is not snake_case")
        });
        let public_sees_private = !file.package().starts_with("curfew.row.")
            && file
                .dependency
                .iter()
                .any(|import| import.starts_with("curfew/row/"));
        self.require(!public_sees_private, || {
            "a public package imports the private one".to_owned()
        });
        self.options();
        for (index, message) in (0..).zip(&file.message_type) {
            self.message(&[4, index], message, message.name());
        }
        for (index, an_enum) in (0..).zip(&file.enum_type) {
            self.an_enum(&[5, index], an_enum);
        }
        self.require(file.service.len() <= 1, || "has more than one service".to_owned());
        for (index, service) in (0..).zip(&file.service) {
            self.service(&[6, index], service);
        }
    }

    fn options(&mut self) {
        let options = self.file.options.clone().unwrap_or_default();
        let area = self
            .file
            .package()
            .split('.')
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let go = format!("/proto/gen/go/curfew/{area}/v1;{area}v1");
        self.require(options.go_package().ends_with(&go), || {
            format!("go_package does not end with {go}")
        });
        let java = format!(".{area}.v1");
        self.require(options.java_package().ends_with(&java), || {
            format!("java_package does not end with {java}")
        });
        self.require(options.java_multiple_files(), || {
            "java_multiple_files is not set".to_owned()
        });
        let csharp = format!("curfew.{area}.v1");
        self.require(options.csharp_namespace().to_lowercase() == csharp, || {
            format!("csharp_namespace is not {csharp}")
        });
    }

    fn message(&mut self, path: &[i32], message: &DescriptorProto, name: &str) {
        // The compiler makes these for `map` fields.
        if message
            .options
            .as_ref()
            .is_some_and(|options| options.map_entry())
        {
            return;
        }
        self.require(is_pascal(message.name()), || {
            format!("message {name} is not PascalCase")
        });
        self.comment(path, &format!("message {name}"));
        for (index, field) in (0..).zip(&message.field) {
            let what = format!("field {name}.{}", field.name());
            self.require(is_lower_snake(field.name()), || {
                format!("{what} is not snake_case")
            });
            self.comment(&[path, &[2, index]].concat(), &what);
        }
        for (index, oneof) in (0..).zip(&message.oneof_decl) {
            // The compiler makes these for `optional` fields.
            if oneof.name().starts_with('_') {
                continue;
            }
            let what = format!("oneof {name}.{}", oneof.name());
            self.require(is_lower_snake(oneof.name()), || {
                format!("{what} is not snake_case")
            });
            self.comment(&[path, &[8, index]].concat(), &what);
        }
        for (index, nested) in (0..).zip(&message.nested_type) {
            self.message(
                &[path, &[3, index]].concat(),
                nested,
                &format!("{name}.{}", nested.name()),
            );
        }
        for (index, an_enum) in (0..).zip(&message.enum_type) {
            self.an_enum(&[path, &[4, index]].concat(), an_enum);
        }
        self.pages(message, name);
    }

    fn pages(&mut self, message: &DescriptorProto, name: &str) {
        let has = |field: &str| message.field.iter().any(|candidate| candidate.name() == field);
        if name.starts_with("List") && name.ends_with("Request") {
            self.require(has("page_size") && has("page_token"), || {
                format!("{name} has no pages")
            });
        }
        if name.starts_with("List") && name.ends_with("Response") {
            self.require(has("next_page_token"), || format!("{name} has no next page"));
        }
    }

    fn an_enum(&mut self, path: &[i32], an_enum: &EnumDescriptorProto) {
        let name = an_enum.name();
        let prefix = format!("{}_", upper_snake(name));
        self.require(is_pascal(name), || format!("enum {name} is not PascalCase"));
        self.comment(path, &format!("enum {name}"));
        for (index, value) in (0..).zip(&an_enum.value) {
            let what = format!("value {name}.{}", value.name());
            self.require(value.name().starts_with(&prefix), || {
                format!("{what} does not begin with {prefix}")
            });
            self.comment(&[path, &[2, index]].concat(), &what);
            let zero = format!("{prefix}UNSPECIFIED");
            self.require((value.number() == 0) == (value.name() == zero), || {
                format!("{what}: zero is {zero}, and nothing else is (`_UNSPECIFIED`)")
            });
        }
    }

    fn service(&mut self, path: &[i32], service: &ServiceDescriptorProto) {
        let name = service.name();
        self.require(name.ends_with("Service"), || {
            format!("service {name} does not end with `Service`")
        });
        let file_name = format!("/{}.proto", upper_snake(name).to_lowercase());
        self.require(self.file.name().ends_with(&file_name), || {
            format!("service {name} is not in {file_name}")
        });
        self.comment(path, &format!("service {name}"));
        for (index, method) in (0..).zip(&service.method) {
            let what = format!("rpc {name}.{}", method.name());
            let comment = self.comment(&[path, &[2, index]].concat(), &what);
            let names_caller = comment.contains("Anybody") || ROLES.iter().any(|role| comment.contains(role));
            self.require(names_caller, || {
                format!("{what}: the comment does not name who may call")
            });
            let package = self.file.package();
            for (actual, suffix) in [
                (method.input_type(), "Request"),
                (method.output_type(), "Response"),
            ] {
                let expected = format!(".{package}.{}{suffix}", method.name());
                self.require(actual == expected, || {
                    format!("{what}: {actual} should be {expected}")
                });
            }
            self.request_id(method.name(), &what);
        }
    }

    /// Every call that changes something can be repeated safely.
    fn request_id(&mut self, method: &str, what: &str) {
        let reads = ["Get", "List", "BatchGet"]
            .iter()
            .any(|verb| method.starts_with(verb));
        if reads || WITHOUT_REQUEST_ID.iter().any(|(name, _reason)| *name == method) {
            return;
        }
        let request = format!("{method}Request");
        let mut messages = self.file.message_type.iter();
        let has = messages
            .find(|message| message.name() == request)
            .is_some_and(|message| message.field.iter().any(|field| field.name() == "request_id"));
        self.require(has, || format!("{what} changes something and has no request_id"));
    }
}

fn is_lower_snake(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn upper_snake(pascal: &str) -> String {
    let mut snake = String::new();
    for c in pascal.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_uppercase());
    }
    snake
}
