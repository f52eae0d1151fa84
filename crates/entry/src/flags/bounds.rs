//! How much is served.

use clap::Args;
use entry_translate::{Bound, Bounds};

/// How much is served. The defaults are for the memory that the manifests give nginx, 1 GiB.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Bounds")]
pub struct BoundFlags {
    /// Most hosts that are served, wildcards among them
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub max_hosts: usize,
    /// Most hosts of one namespace
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub max_hosts_per_namespace: usize,
    /// Most rules that are served: paths, and default backends of hosts. A path counts once more for each 256 bytes, and a
    /// rule for each KiB of lists that its annotations ask for, and for each 4 KiB of users and certificates in files
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub max_rules: usize,
    /// Most rules of one namespace
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub max_rules_per_namespace: usize,
    /// Most hosts with `*` that are served: they are tried in turn, so that each makes requests for others slower
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub max_patterns: usize,
    /// Most hosts with `*` of one namespace
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub max_patterns_per_namespace: usize,
    /// Most certificates that are served
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub max_certificates: usize,
    /// Most certificates of one namespace
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub max_certificates_per_namespace: usize,
    /// Most different rates of requests that are counted (`limit-rps`, `limit-rpm`): each has 10 MiB of memory
    #[arg(long, value_name = "N", default_value_t = 48)]
    pub max_rates: usize,
    /// Most different rates of one namespace
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub max_rates_per_namespace: usize,
}

impl BoundFlags {
    /// What routes are built with.
    pub fn bounds(&self) -> Bounds {
        let bound = |namespace, all| Bound { namespace, all };
        Bounds {
            hosts: bound(self.max_hosts_per_namespace, self.max_hosts),
            rules: bound(self.max_rules_per_namespace, self.max_rules),
            patterns: bound(self.max_patterns_per_namespace, self.max_patterns),
            certificates: bound(self.max_certificates_per_namespace, self.max_certificates),
            rates: bound(self.max_rates_per_namespace, self.max_rates),
        }
    }
}
