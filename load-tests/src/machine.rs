//! The machine and the versions: figures mean nothing without them.

use std::path::Path;
use std::process::Command;

use procfs::Current as _;
use serde::{Deserialize, Serialize};

/// Where a run took place.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) model: String,
    pub(crate) kernel: String,
    pub(crate) memory_mib: u64,
    /// Load averages (1, 5, 15 minutes) when the run began: who else was at work.
    pub(crate) load: [f32; 3],
}

/// What ran.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Versions {
    /// As `curfew --version` says it.
    pub(crate) curfew: String,
    pub(crate) curfew_load: String,
    /// Without optimization no figure means anything.
    pub(crate) optimized: bool,
}

impl Machine {
    /// What can be read of this one; what cannot stays empty.
    pub(crate) fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let model = procfs::CpuInfo::current()
            .ok()
            .and_then(|info| info.model_name(0).map(str::to_owned));
        let kernel = procfs::sys::kernel::Version::current().ok();
        let kernel =
            kernel.map(|version| format!("Linux {}.{}.{}", version.major, version.minor, version.patch));
        let memory = procfs::Meminfo::current().map_or(0, |memory| memory.mem_total >> 20);
        let load = procfs::LoadAverage::current();
        Self {
            cores,
            model: model.unwrap_or_default(),
            kernel: kernel.unwrap_or_default(),
            memory_mib: memory,
            load: load.map_or([0.0; 3], |load| [load.one, load.five, load.fifteen]),
        }
    }
}

impl Versions {
    /// Of the node's binary and of this program; a node that runs elsewhere is not asked.
    pub(crate) fn of(curfew: Option<&Path>) -> Self {
        let told = curfew.and_then(|path| Command::new(path).arg("--version").output().ok());
        Self {
            curfew: told.map_or_else(String::new, |output| {
                String::from_utf8_lossy(&output.stdout).trim().to_owned()
            }),
            curfew_load: env!("CARGO_PKG_VERSION").to_owned(),
            optimized: !cfg!(debug_assertions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_named() {
        let machine = Machine::this();
        assert!(machine.cores > 0 && machine.memory_mib > 0, "{machine:?}");
        assert!(machine.kernel.starts_with("Linux "), "{machine:?}");
    }
}
