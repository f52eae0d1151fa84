//! `testbed`: runs a command beside real parts that are started for it and ended after it.

use std::io::IsTerminal;
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use testbed::ceph::{Ceph, CephOptions, Store};
use testbed::cluster::{self, Cluster, ClusterOptions};
use testbed::kube::ApiServer;

/// Runs a command beside real parts that are started for it and ended after it.
#[derive(Parser)]
#[command(name = "testbed")]
enum Arguments {
    /// Beside a one-node Ceph: the command finds it by `SPARROW_TEST_CEPH_CONF`, `SPARROW_TEST_CEPH_KEYRING` and
    /// `SPARROW_TEST_CEPH_DIR`. Exits as the command does, with 128 plus the signal if one ended it.
    Ceph {
        /// Where the OSD keeps its objects: 8 GiB in memory, or 12 GiB in a sparse file.
        #[arg(long, value_enum, default_value_t = StoreName::Memory)]
        store: StoreName,
        /// Starts a manager too, for pool statistics and quotas.
        #[arg(long)]
        mgr: bool,
        /// Where it listens: an address of this network namespace. Elsewhere than on loopback nothing but keys keeps clients out.
        #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
        address: Ipv4Addr,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// In the network of a real cluster with a Ceph beside it: `kubectl`, `KUBECONFIG` and the variables of `ceph` are set.
    /// Needs root. Exits as `ceph` does.
    Cluster {
        /// How many nodes.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
        nodes: u8,
        /// Images to import into the nodes: archives of `docker save`.
        #[arg(long, value_name = "ARCHIVE")]
        image: Vec<PathBuf>,
        /// Starts nothing, but says why no cluster can be started here, and exits 1 then.
        #[arg(long)]
        check: bool,
        /// The command and its arguments; without one it stays until Ctrl-C.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Beside a Kubernetes API server on loopback: the command finds it by `SPARROW_TEST_KUBE_DIR`. Exits as `ceph` does. For both,
    /// one runs the other: `testbed ceph -- testbed kube -- COMMAND`.
    Kube {
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum StoreName {
    Memory,
    Bluestore,
}

fn main() -> ExitCode {
    let result = match Arguments::parse() {
        Arguments::Ceph { store, mgr, address, command } => {
            let store = match store {
                StoreName::Memory => Store::MEMORY,
                StoreName::Bluestore => Store::BLUESTORE,
            };
            // A signal before `run`, or one that cannot be caught, ends this process, and then the keeper the cluster.
            Ceph::start_at(address, CephOptions { store, mgr }).and_then(|cluster| run(&command, &cluster.variables()))
        }
        Arguments::Cluster { check: true, .. } => {
            let why = cluster::unavailable();
            println!("{}", why.as_deref().unwrap_or("a cluster can be started"));
            return if why.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
        Arguments::Cluster { nodes, image, command, .. } => beside_cluster(nodes, &image, &command),
        Arguments::Kube { command } => ApiServer::start().and_then(|server| run(&command, &server.variables())),
    };
    match result {
        Ok(status) => {
            let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
            ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Starts a cluster, and runs the command in its network or waits for a signal.
fn beside_cluster(nodes: u8, images: &[PathBuf], command: &[String]) -> Result<ExitStatus> {
    let cluster = Cluster::start(ClusterOptions { nodes })?;
    images.iter().try_for_each(|image| cluster.import(image))?;
    cluster.enter()?;
    let path = cluster.path();
    let kubeconfig = cluster.api_server().admin_kubeconfig();
    let mut variables = vec![("KUBECONFIG", kubeconfig), ("PATH", Path::new(&path))];
    variables.extend(cluster.ceph().variables());
    if command.is_empty() {
        println!("{}", cluster.usage());
        return run(&["sleep".into(), "infinity".into()], &variables);
    }
    run(command, &variables)
}

/// Runs a command with further variables in its environment, passes signals on to it, and waits for it.
fn run(command: &[String], variables: &[(&str, &Path)]) -> Result<ExitStatus> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("catch signals")?;
    let (program, args) = command.split_first().context("no command given")?;
    let mut child = Command::new(program)
        .args(args)
        .envs(variables.iter().copied())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let pid = Pid::from_child(&child);
    let handle = signals.handle();
    let forwarder = std::thread::spawn(move || {
        for signal in &mut signals {
            // Ctrl-C in a terminal reaches the command by itself.
            if signal == SIGINT && std::io::stdin().is_terminal() {
                continue;
            }
            if let Some(signal) = Signal::from_named_raw(signal) {
                let _ = kill_process(pid, signal);
            }
        }
    });
    let status = child.wait().with_context(|| format!("wait for {program}"));
    // From here on the pid may be another's. The signals stay caught: what is left to do is to end what was started.
    handle.close();
    let _ = forwarder.join();
    status
}
