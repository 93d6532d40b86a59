//! The committed descriptor set is what the sources say.

use std::path::Path;

#[path = "../build/compile.rs"]
mod compile;

#[test]
fn the_committed_descriptor_set_is_what_the_sources_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Without comments: reflection does not serve them, and prose would change the file.
    let fresh = compile::compile(root, false)
        .unwrap()
        .encode_file_descriptor_set();
    if std::env::vars().any(|(name, _)| name == "UPDATE_DESCRIPTOR") {
        std::fs::write(root.join("curfew.binpb"), &fresh).unwrap();
        return;
    }
    assert!(
        fresh == curfew_proto::FILE_DESCRIPTOR_SET,
        "proto/curfew.binpb is not what the sources say: run `UPDATE_DESCRIPTOR=1 cargo test -p curfew-proto`"
    );
}
