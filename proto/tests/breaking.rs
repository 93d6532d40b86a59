//! Nothing that version 1 promised is taken back.
//!
//! The sources are compared with a frozen image, `curfew.frozen.binpb`: what is in it may gain company
//! and may never be removed, renumbered, renamed or given another type. Names count, because JSON and
//! generated code carry them. `UPDATE_FROZEN=1 cargo test -p curfew-proto` adds what is new to the
//! image, and refuses where something is broken.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;

use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, EnumDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

const FROZEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/curfew.frozen.binpb");

/// What is promised: a name that must stay, and what must stay true of it.
type Promises = BTreeMap<String, String>;

#[test]
fn version_1_takes_nothing_back() {
    let frozen = promises(&std::fs::read(FROZEN).unwrap_or_default());
    let present = promises(curfew_proto::FILE_DESCRIPTOR_SET);
    let breaks = breaks(&frozen, &present);
    assert!(
        breaks.is_empty(),
        "version 1 is frozen, add instead of changing:\n{}",
        breaks.join("\n")
    );
    if std::env::vars().any(|(name, _)| name == "UPDATE_FROZEN") {
        std::fs::write(FROZEN, curfew_proto::FILE_DESCRIPTOR_SET).unwrap();
        return;
    }
    assert!(
        frozen.len() > 1_000,
        "the frozen image is missing: run with `UPDATE_FROZEN=1`"
    );
    let unfrozen = present
        .keys()
        .filter(|promise| !frozen.contains_key(*promise))
        .count();
    println!("{} promises kept, {unfrozen} not frozen yet", frozen.len());
}

#[test]
fn what_is_added_breaks_nothing() {
    let added = mutated(|log| {
        log.message_type.push(DescriptorProto {
            name: Some("Later".to_owned()),
            ..DescriptorProto::default()
        });
        let mut field = message(log, "Skip").field[0].clone();
        field.name = Some("later".to_owned());
        field.json_name = Some("later".to_owned());
        field.number = Some(99);
        message(log, "Skip").field.push(field);
    });
    assert_eq!(
        breaks(&promises(curfew_proto::FILE_DESCRIPTOR_SET), &promises(&added)),
        Vec::<String>::new()
    );
}

#[test]
fn what_is_taken_back_is_found() {
    type Change = fn(&mut FileDescriptorProto);
    let cases: [(&str, Change); 8] = [
        ("field curfew.log.v1.Skip #5 is gone", |log| {
            message(log, "Skip").field.retain(|field| field.name() != "by");
        }),
        ("field curfew.log.v1.Skip #5 is gone", |log| {
            field(log, "Skip", "by").number = Some(77)
        }),
        ("field curfew.log.v1.Skip #5 was", |log| {
            field(log, "Skip", "by").name = Some("author".to_owned())
        }),
        ("field curfew.log.v1.Skip #2 was", |log| {
            field(log, "Skip", "partition").set_type(prost_types::field_descriptor_proto::Type::Uint64);
        }),
        ("field curfew.log.v1.Skip #2 was", |log| {
            field(log, "Skip", "partition").set_label(prost_types::field_descriptor_proto::Label::Repeated);
        }),
        ("message curfew.log.v1.Skip is gone", |log| {
            field(log, "Envelope", "skip").type_name = Some(".curfew.log.v1.Heartbeat".to_owned());
            log.message_type.retain(|message| message.name() != "Skip");
        }),
        ("value curfew.log.v1.Kind #5 is gone", |log| {
            log.enum_type[0].value.truncate(5)
        }),
        ("value curfew.log.v1.Kind #5 was", |log| {
            log.enum_type[0].value[5].name = Some("KIND_LEAP".to_owned());
        }),
    ];
    let frozen = promises(curfew_proto::FILE_DESCRIPTOR_SET);
    for (expected, change) in cases {
        let found = breaks(&frozen, &promises(&mutated(change)));
        assert!(
            found.iter().any(|line| line.starts_with(expected)),
            "not found: {expected}; but {found:?}"
        );
    }
}

#[test]
fn a_call_that_is_removed_or_retyped_is_found() {
    let frozen = promises(curfew_proto::FILE_DESCRIPTOR_SET);
    let removed = mutated_file("curfew/session/v1/session_service.proto", |file| {
        file.service[0]
            .method
            .retain(|method| method.name() != "EndGrant");
    });
    let retyped = mutated_file("curfew/revocation/v1/revocation_service.proto", |file| {
        for method in &mut file.service[0].method {
            method.server_streaming = Some(false);
        }
    });
    let found = breaks(&frozen, &promises(&removed)).join("\n");
    assert!(
        found.contains("rpc curfew.session.v1.SessionService.EndGrant is gone"),
        "{found}"
    );
    // The change drops the file's annotations, which is a fault of its own: every address is gone.
    assert!(
        found.contains("rpc curfew.session.v1.SessionService.GetSession was"),
        "{found}"
    );
    let found = breaks(&frozen, &promises(&retyped)).join("\n");
    let stream = "returns (stream curfew.revocation.v1.WatchRevocationsResponse)";
    assert!(
        found.contains(stream) && !found.contains(&format!("is `{stream}")),
        "{found}"
    );
}

fn breaks(frozen: &Promises, present: &Promises) -> Vec<String> {
    let broken = frozen
        .iter()
        .filter_map(|(promise, was)| match present.get(promise) {
            None => Some(format!("{promise} is gone")),
            Some(is) if is != was => Some(format!("{promise} was `{was}` and is `{is}`")),
            Some(_) => None,
        });
    broken.collect()
}

fn promises(image: &[u8]) -> Promises {
    let pool = DescriptorPool::decode(image).unwrap();
    let mut promises = Promises::new();
    let ours = |package: &str| package.starts_with("curfew.");
    for file in pool.files().filter(|file| ours(file.package_name())) {
        promises.insert(format!("file {}", file.name()), file.package_name().to_owned());
    }
    for message in pool.all_messages().filter(|message| ours(message.package_name())) {
        message_promises(&message, &mut promises);
    }
    for an_enum in pool.all_enums().filter(|an_enum| ours(an_enum.package_name())) {
        enum_promises(&an_enum, &mut promises);
    }
    for service in pool.services() {
        promises.insert(format!("service {}", service.full_name()), String::new());
        for method in service.methods() {
            promises.insert(format!("rpc {}", method.full_name()), call(&pool, &method));
        }
    }
    promises
}

fn message_promises(message: &MessageDescriptor, promises: &mut Promises) {
    promises.insert(format!("message {}", message.full_name()), String::new());
    for field in message.fields() {
        let kind = match field.kind() {
            Kind::Message(message) => message.full_name().to_owned(),
            Kind::Enum(an_enum) => an_enum.full_name().to_owned(),
            scalar @ (Kind::Double
            | Kind::Float
            | Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Fixed32
            | Kind::Fixed64
            | Kind::Sfixed32
            | Kind::Sfixed64
            | Kind::Bool
            | Kind::String
            | Kind::Bytes) => format!("{scalar:?}"),
        };
        let oneof = field
            .containing_oneof()
            .map_or_else(String::new, |oneof| format!(" in {}", oneof.name()));
        promises.insert(
            format!("field {} #{}", message.full_name(), field.number()),
            format!(
                "{:?} {kind} {} {}{oneof}",
                field.cardinality(),
                field.name(),
                field.json_name()
            ),
        );
    }
}

fn enum_promises(an_enum: &EnumDescriptor, promises: &mut Promises) {
    promises.insert(format!("enum {}", an_enum.full_name()), String::new());
    for value in an_enum.values() {
        let promise = format!("value {} #{}", an_enum.full_name(), value.number());
        promises.insert(promise, value.name().to_owned());
    }
}

/// What a call takes and gives, and under which address: the HTTP rule is part of the promise.
fn call(pool: &DescriptorPool, method: &MethodDescriptor) -> String {
    let stream = |is_stream: bool| if is_stream { "stream " } else { "" };
    let http = pool
        .get_extension_by_name("google.api.http")
        .map_or_else(Vec::new, |extension| {
            let options = method.options();
            options
                .get_extension(&extension)
                .as_message()
                .map_or_else(Vec::new, |rule| rule.encode_to_vec())
        });
    format!(
        "({}{}) returns ({}{}) at {}",
        stream(method.is_client_streaming()),
        method.input().full_name(),
        stream(method.is_server_streaming()),
        method.output().full_name(),
        String::from_utf8_lossy(&http).escape_default(),
    )
}

fn mutated(change: impl FnOnce(&mut FileDescriptorProto)) -> Vec<u8> {
    mutated_file("curfew/log/v1/log.proto", change)
}

/// The present image with one file changed; annotations of that one file alone are lost, as decoding drops them.
fn mutated_file(name: &str, change: impl FnOnce(&mut FileDescriptorProto)) -> Vec<u8> {
    // Files are field 1 of the set: all others keep their bytes, and with them their annotations.
    let set = FileDescriptorSet::decode(curfew_proto::FILE_DESCRIPTOR_SET).unwrap();
    let pool = DescriptorPool::decode(curfew_proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut change = Some(change);
    let mut image = Vec::new();
    for mut file in set.file {
        let bytes = if file.name() == name {
            (change.take().unwrap())(&mut file);
            file.encode_to_vec()
        } else {
            pool.get_file_by_name(file.name()).unwrap().encode_to_vec()
        };
        prost_reflect::prost::encoding::bytes::encode(1, &bytes, &mut image);
    }
    assert!(change.is_none(), "{name} is not in the image");
    image
}

fn message<'a>(file: &'a mut FileDescriptorProto, name: &str) -> &'a mut DescriptorProto {
    file.message_type
        .iter_mut()
        .find(|message| message.name() == name)
        .unwrap()
}

fn field<'a>(
    file: &'a mut FileDescriptorProto,
    in_message: &str,
    name: &str,
) -> &'a mut prost_types::FieldDescriptorProto {
    message(file, in_message)
        .field
        .iter_mut()
        .find(|field| field.name() == name)
        .unwrap()
}
