use std::path::Path;

use super::layers::Layers;
use super::settings::{Kind, SETTINGS};
use super::show::SAMPLE;
use super::*;

/// What is made of a file, an environment and flags.
fn judged(file: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<Config, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    std::fs::write(&path, file).unwrap();
    let args = ConfigArgs {
        config: Some(path),
        set: set.iter().map(|set| (*set).to_owned()).collect(),
        ..ConfigArgs::default()
    };
    let environment = environment
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let faults = |error: Failure| error.downcast::<Faulty>().unwrap().faults;
    let (layers, raw) = read(&args, &[], environment).map_err(faults)?;
    valid::judge(layers, raw).map_err(|faulty| faulty.faults)
}

#[track_caller]
fn check_fault(file: &str, environment: &[(&str, &str)], set: &[&str], words: &[&str]) {
    let faults = judged(file, environment, set).unwrap_err();
    let [fault] = faults.as_slice() else {
        panic!("one fault expected: {faults:?}");
    };
    for word in words {
        assert!(fault.contains(word), "no `{word}` in: {fault}");
    }
}

/// The sample with what has no default in it as well.
fn whole_sample() -> String {
    SAMPLE
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_sample_holds_every_setting_that_may_stand_in_a_file_and_nothing_else() {
    let mut layers = Layers::default();
    layers.file(Path::new("sample"), &whole_sample());
    assert_eq!(layers.faults, Vec::<String>::new());
    for setting in SETTINGS {
        let is_there = layers.origins.contains_key(setting.path);
        assert_eq!(is_there, setting.kind != Kind::Secret, "{}", setting.path);
        if setting.kind == Kind::Secret {
            assert!(SAMPLE.contains(&setting.variable()), "{}", setting.path);
        }
    }
}

#[test]
fn the_page_of_limits_names_every_limit_with_its_default() {
    let page = include_str!("../../../LIMITS.md");
    let defaults = toml::Table::try_from(Raw::default()).unwrap();
    for setting in SETTINGS {
        let Some((table @ ("limits" | "connections"), key)) = setting.path.split_once('.') else {
            continue;
        };
        let line = format!("| `{}` | {} |", setting.path, defaults[table][key]);
        assert!(page.contains(&line), "no `{line}`");
    }
}

#[test]
fn the_sample_says_the_defaults() {
    let mut layers = Layers::default();
    layers.file(Path::new("sample"), SAMPLE);
    let defaults = toml::Table::try_from(Raw::default()).unwrap();
    assert_eq!(layers.tree, defaults);
}

#[test]
fn the_table_of_settings_and_the_parsed_form_have_the_same_names() {
    // Each setting alone is taken by the parsed form, which refuses unknown names.
    for setting in SETTINGS {
        let text = match setting.kind {
            Kind::Text | Kind::Secret => "text",
            Kind::Integer => "7",
            Kind::Number => "0.5",
            Kind::Boolean => "true",
        };
        let mut layers = Layers::default();
        layers.environment([(setting.variable(), text.to_owned())].into_iter());
        let raw = typed(&mut layers);
        assert!(
            raw.is_ok() && layers.faults.is_empty(),
            "{}: {:?}",
            setting.path,
            layers.faults
        );
    }
    // And every name of the parsed form is in the table.
    let mut layers = Layers::default();
    layers.file(Path::new("defaults"), &toml::to_string(&Raw::default()).unwrap());
    assert_eq!(layers.faults, Vec::<String>::new());
}

#[test]
fn nothing_said_is_a_node_on_loopback() {
    let config = judged("", &[], &[]).unwrap();
    assert_eq!(config.grpc.address.to_string(), "127.0.0.1:7400");
    assert_eq!(config.http.address.to_string(), "127.0.0.1:7480");
    assert!(config.grpc.tls.is_none());
}

#[test]
fn later_layers_win_and_a_table_keeps_its_other_defaults() {
    let file = "[limits]\ncalls_max = 10\nwaits_max = 10\nsubscribers_max = 10\n";
    let environment = [
        ("CURFEW_LIMITS_WAITS_MAX", "20"),
        ("CURFEW_LIMITS_SUBSCRIBERS_MAX", "20"),
    ];
    let config = judged(file, &environment, &["limits.subscribers_max=30"]).unwrap();
    let mut edge = curfew_grpc::Settings::new("");
    config.limits.apply(&mut edge);
    assert_eq!(
        (edge.calls_max, edge.waits_max, edge.subscribers_max),
        (10, 20, 30)
    );
    assert_eq!(
        edge.request_bytes_max,
        curfew_grpc::Settings::new("").request_bytes_max
    );
}

#[test]
fn every_kind_of_wrong_value_is_named_with_its_place() {
    let none: &[(&str, &str)] = &[];
    check_fault(
        "[grpc]\nlisten = 3\n",
        none,
        &[],
        &["c.toml:2", "`grpc.listen`", "string"],
    );
    check_fault(
        "[grpc]\nlisten = \"here\"\n",
        none,
        &[],
        &["c.toml:2", "`here`", "127.0.0.1:7400"],
    );
    check_fault(
        "[grpc]\nlisten = [\"a\"]\n",
        none,
        &[],
        &["c.toml:2", "one value"],
    );
    check_fault("data = \"\"\n", none, &[], &["c.toml:1", "`data`"]);
    check_fault("[grpc\n", none, &[], &["c.toml", "line 1"]);
    check_fault(
        "[limits]\ncalls_max = 0\n",
        none,
        &[],
        &["c.toml:2", "between 1 and"],
    );
    check_fault(
        "[keys]\nsigning_algorithm = \"HS256\"\n",
        none,
        &[],
        &["`HS256`", "ES256, EdDSA"],
    );
    check_fault(
        "base_url = \"id.example/\"\n",
        none,
        &[],
        &["`base_url`", "https://host"],
    );
    check_fault("[log]\nfilter = \"=,=\"\n", none, &[], &["`log.filter`"]);
    check_fault(
        "",
        &[("CURFEW_LIMITS_CALLS_MAX", "many")],
        &[],
        &[
            "environment CURFEW_LIMITS_CALLS_MAX",
            "`many` is not a whole number",
        ],
    );
    check_fault(
        "",
        none,
        &["grpc.allow_plaintext=yes"],
        &["--set", "neither `true` nor `false`"],
    );
    check_fault("", none, &["grpc.listen"], &["--set", "SETTING=VALUE"]);
    check_fault(
        "[http]\nlisten = \"127.0.0.1:7400\"\n",
        none,
        &[],
        &["same address"],
    );
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_one_wherever_it_stands() {
    let none: &[(&str, &str)] = &[];
    check_fault(
        "[grpc]\n\nlistn = \"x\"\n",
        none,
        &[],
        &["c.toml:3", "`grpc.listn`", "`grpc.listen`"],
    );
    check_fault(
        "[gprc]\nlisten = \"x\"\n",
        none,
        &[],
        &["c.toml:2", "`gprc.listen`", "`grpc.listen`"],
    );
    check_fault("", none, &["limits.call_max=3"], &["--set", "`limits.calls_max`"]);
}

#[test]
fn all_faults_are_told_at_once() {
    let file = "dta = \"x\"\n[limits]\ncalls_max = \"a\"\nwaits_max = 0\n[grpc]\nlisten = 3\n";
    let faults = judged(file, &[], &[]).unwrap_err();
    assert_eq!(faults.len(), 4, "{faults:#?}");
}

#[test]
fn plain_text_beyond_loopback_is_refused_with_both_ways_out() {
    let open = "[grpc]\nlisten = \"0.0.0.0:7400\"\n";
    check_fault(
        open,
        &[],
        &[],
        &["grpc.tls.cert_file", "grpc.allow_plaintext = true"],
    );
    judged(&format!("{open}allow_plaintext = true\n"), &[], &[]).unwrap();
    judged(
        &format!("{open}[grpc.tls]\ncert_file = \"a\"\nkey_file = \"b\"\n"),
        &[],
        &[],
    )
    .unwrap();
}

#[test]
fn half_of_tls_is_refused() {
    let tls = |lines: &str| format!("[grpc.tls]\n{lines}");
    let pair = "cert_file = \"a\"\nkey_file = \"b\"\n";
    check_fault(
        &tls("cert_file = \"a\"\n"),
        &[],
        &[],
        &["needs `grpc.tls.key_file`"],
    );
    check_fault(
        &tls("key_file = \"a\"\n"),
        &[],
        &[],
        &["needs `grpc.tls.cert_file`"],
    );
    check_fault(
        &tls(&format!("{pair}client_certificates = \"required\"\n")),
        &[],
        &[],
        &["client_ca_file"],
    );
    check_fault(
        &tls(&format!("{pair}client_ca_file = \"c\"\n")),
        &[],
        &[],
        &["client_certificates"],
    );
    check_fault(
        &tls(&format!("{pair}client_certificates = \"maybe\"\n")),
        &[],
        &[],
        &["`maybe`"],
    );
}

#[test]
fn a_secret_comes_by_the_environment_or_a_file_of_its_own_and_is_never_shown() {
    let key = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";
    check_fault(
        &format!("[keys]\nroot_key = \"{key}\"\n"),
        &[],
        &[],
        &["c.toml:2", "root_key_file", "CURFEW_KEYS_ROOT_KEY"],
    );
    let faults = judged("", &[], &[&format!("keys.root_key={key}")]).unwrap_err();
    assert!(
        faults[0].contains("process lists") && !faults[0].contains(key),
        "{faults:?}"
    );
    let config = judged("", &[("CURFEW_KEYS_ROOT_KEY", key)], &[]).unwrap();
    assert!(matches!(config.root_key, RootKeySource::Given(_)));
    assert!(!format!("{config:?}").contains(key));
    let faults = judged("", &[("CURFEW_KEYS_ROOT_KEY", "half of one")], &[]).unwrap_err();
    assert!(
        faults[0].contains("32 bytes") && !faults[0].contains("half of one"),
        "{faults:?}"
    );
}

#[test]
fn the_page_for_operators_has_the_permissions_that_the_store_needs() {
    let page = include_str!("../../../../deploy/README.md");
    let rule = curfew_redis::acl_rule("curfew", &Raw::default().redis.prefix);
    assert!(page.contains(&rule), "{rule}");
    assert!(page.contains(curfew_redis::SENTINEL_ACL));
}

#[test]
fn the_page_for_operators_names_both_topics_and_who_may_do_what_on_each() {
    let page = include_str!("../../../../deploy/README.md");
    for topic in [curfew_kafka::TOPIC_DEFAULT, curfew_kafka::WATERMARKS_TOPIC] {
        assert!(page.contains(&format!("`{topic}`")), "{topic}");
    }
    let hours = curfew_kafka::WATERMARKS_RETENTION_MS / 3_600_000;
    assert!(page.contains(&format!("kept for {hours} hour")), "{hours}");
}
