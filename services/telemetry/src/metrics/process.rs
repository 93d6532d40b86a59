//! What the operating system says of this process, under the names that every exporter uses.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

/// Only Linux tells; elsewhere the families are not there.
#[cfg(not(target_os = "linux"))]
pub(super) fn encode(_: &mut DescriptorEncoder<'_>) -> fmt::Result {
    Ok(())
}

#[cfg(target_os = "linux")]
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    match linux::read() {
        Ok(process) => process.encode(encoder),
        Err(error) => {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the process cannot be measured"
            );
            Ok(())
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fmt;

    use procfs::process::{LimitValue, Process};
    use procfs::{ProcResult, WithCurrentSystemInfo as _};
    use prometheus_client::encoding::DescriptorEncoder;
    use prometheus_client::registry::Unit;

    use crate::metrics::family::{float, gauge};

    pub(super) struct Measured {
        resident_bytes: u64,
        virtual_bytes: u64,
        open_fds: usize,
        max_fds: Option<u64>,
        threads: i64,
        cpu_seconds: f64,
        started_at_seconds: f64,
    }

    #[expect(clippy::cast_precision_loss, reason = "ticks and bytes are far below 2^53")]
    pub(super) fn read() -> ProcResult<Measured> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let a_second = procfs::ticks_per_second() as f64;
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(max) => Some(max),
            LimitValue::Unlimited => None,
        };
        Ok(Measured {
            resident_bytes: stat.rss_bytes().get(),
            virtual_bytes: stat.vsize,
            open_fds: process.fd_count()?,
            max_fds,
            threads: stat.num_threads,
            cpu_seconds: (stat.utime + stat.stime) as f64 / a_second,
            started_at_seconds: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / a_second,
        })
    }

    impl Measured {
        #[expect(clippy::cast_precision_loss, reason = "bytes and counts are far below 2^53")]
        pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
            let bytes = [
                ("process_resident_memory", "Memory in use", self.resident_bytes),
                (
                    "process_virtual_memory",
                    "Address space in use",
                    self.virtual_bytes,
                ),
            ];
            for (name, help, value) in bytes {
                gauge(encoder, name, help, Some(&Unit::Bytes), [(vec![], value as f64)])?;
            }
            let open = float(self.open_fds);
            gauge(
                encoder,
                "process_open_fds",
                "Open file descriptors",
                None,
                [(vec![], open)],
            )?;
            gauge(
                encoder,
                "process_max_fds",
                "How many file descriptors may be open",
                None,
                self.max_fds.map(|max| (vec![], max as f64)),
            )?;
            gauge(
                encoder,
                "process_threads",
                "Threads",
                None,
                [(vec![], self.threads as f64)],
            )?;
            gauge(
                encoder,
                "process_start_time",
                "When the process began, Unix time",
                Some(&Unit::Seconds),
                [(vec![], self.started_at_seconds)],
            )?;
            let mut family = encoder.encode_descriptor(
                "process_cpu_seconds",
                "Time on processors, user and system",
                None,
                prometheus_client::metrics::MetricType::Counter,
            )?;
            family.encode_counter::<prometheus_client::encoding::NoLabelSet, _, f64>(&self.cpu_seconds, None)
        }
    }
}
