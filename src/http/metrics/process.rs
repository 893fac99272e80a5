//! The [standard metrics of a process](https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics), which
//! are available on Linux only.

use std::fmt;

use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, boot_time_secs, page_size, ticks_per_second};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::current_values::encode_metric;

/// The process, whose metrics are read when they are encoded.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

/// The values of all metrics.
struct Values {
    cpu_seconds: f64,
    start_time: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: i64,
    open_fds: u64,
    max_fds: Option<u64>,
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        match read() {
            Ok(values) => values.encode(&mut encoder),
            Err(error) => {
                tracing::debug!(%error, "the metrics of the process cannot be read");
                Ok(())
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53 ticks, which are millions of years"
)]
fn read() -> ProcResult<Values> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let seconds = |ticks: u64| ticks as f64 / ticks_per_second() as f64;
    let max_fds = match process.limits()?.max_open_files.soft_limit {
        LimitValue::Value(limit) => Some(limit),
        LimitValue::Unlimited => None,
    };
    Ok(Values {
        cpu_seconds: seconds(stat.utime + stat.stime),
        start_time: boot_time_secs()? as f64 + seconds(stat.starttime),
        resident_bytes: stat.rss * page_size(),
        virtual_bytes: stat.vsize,
        threads: stat.num_threads,
        open_fds: process.fd_count()? as u64,
        max_fds,
    })
}

impl Values {
    fn encode(&self, encoder: &mut DescriptorEncoder) -> Result<(), fmt::Error> {
        let help = "Time that the process has used the processor in user mode and in kernel mode, in seconds";
        let cpu = ConstCounter::new(self.cpu_seconds);
        encode_metric(encoder, "process_cpu_seconds", help, &cpu)?;
        let help = "Time at which the process was started, in seconds since the Unix epoch";
        let start = ConstGauge::new(self.start_time);
        encode_metric(encoder, "process_start_time_seconds", help, &start)?;
        let help = "Resident memory of the process, in bytes";
        let resident = ConstGauge::new(self.resident_bytes);
        encode_metric(encoder, "process_resident_memory_bytes", help, &resident)?;
        let help = "Virtual memory of the process, in bytes";
        let virtual_memory = ConstGauge::new(self.virtual_bytes);
        encode_metric(
            encoder,
            "process_virtual_memory_bytes",
            help,
            &virtual_memory,
        )?;
        let help = "Number of threads of the process";
        let threads = ConstGauge::new(self.threads);
        encode_metric(encoder, "process_threads", help, &threads)?;
        let help = "Number of open file descriptors of the process";
        let open = ConstGauge::new(self.open_fds);
        encode_metric(encoder, "process_open_fds", help, &open)?;
        let Some(max) = self.max_fds.map(ConstGauge::new) else {
            return Ok(());
        };
        let help = "Maximum number of open file descriptors of the process";
        encode_metric(encoder, "process_max_fds", help, &max)
    }
}
