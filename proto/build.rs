//! Makes Rust of the `.proto` files, into `OUT_DIR`.

use std::path::Path;

#[path = "build/compile.rs"]
mod compile;

/// Frames of the feed go to thousands of followers unchanged: they share one buffer.
const SHARED_BUFFERS: [&str; 2] = [
    ".curfew.revocation.v1.TailRecord.envelope",
    ".curfew.revocation.v1.HeartbeatRecord.envelope",
];

fn main() -> std::io::Result<()> {
    for watched in ["build", "build.rs", "curfew", "google"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    let mut files = compile::compile(Path::new(env!("CARGO_MANIFEST_DIR")), true)?.file_descriptor_set();
    // Google's annotations are options, of which no Rust is made; its types are those of `prost-types`.
    files.file.retain(|file| file.package() != "google.api");
    let mut config = tonic_prost_build::Config::new();
    config.bytes(SHARED_BUFFERS);
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .compile_fds_with_config(files, config)
}
