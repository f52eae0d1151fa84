//! `bench-rbd`: the figures that `sparrow-rbd` must reach, each against what librbd, librados or the `rbd` tool need for
//! the same on the same cluster. `README.md` beside says what each figure means.

mod connections;
mod create;
mod data;
mod listing;
mod load;
mod memory;
mod single;
mod stage;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use crate::stage::Stage;
use bench_figures::figure::{Figure, Group, measure};

/// Measures sparrow-rbd on a Ceph of its own, and fails where it is short.
#[derive(Debug, Parser)]
#[command(max_term_width = 120)]
struct Args {
    /// The binary to measure. Without it, the sparrow-rbd beside this program.
    #[arg(long, value_name = "FILE", env = "SPARROW_RBD_BINARY")]
    service: Option<PathBuf>,
    /// Only these groups of figures; may be repeated. Without it, all.
    #[arg(long, value_name = "GROUP", value_parser = clap::builder::PossibleValuesParser::new(groups()))]
    only: Vec<String>,
    /// Shorter, for work on the service: a minute's load becomes ten seconds, 10,000 images become 2,000, and so on. The
    /// lines say `quick` then; they prove nothing.
    #[arg(long)]
    quick: bool,
}

/// The groups of figures, in the order in which they are measured.
const GROUPS: [Group<Stage>; 8] = [
    ("details", listing::details),
    ("names", listing::names),
    ("image", single::image),
    ("create", create::create),
    ("data", data::data),
    ("load", load::load),
    ("memory", memory::memory),
    ("connections", connections::connections),
];

fn groups() -> Vec<&'static str> {
    GROUPS.iter().map(|(name, _)| *name).collect()
}

fn main() {
    let code = match run(&Args::parse()) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            eprintln!("bench-rbd: {error:#}");
            2
        }
    };
    // Lines are flushed as they are printed.
    ceph::end_process(code)
}

/// Whether every figure is reached.
fn run(args: &Args) -> Result<bool> {
    let service = match &args.service {
        Some(file) => file.clone(),
        None => std::env::current_exe().context("find this program")?.with_file_name("sparrow-rbd"),
    };
    ensure!(service.exists(), "{} is missing: cargo build --release -p rbd-server", service.display());
    let stage = Stage::start(service, args.quick)?;
    println!("{}", Figure::heading(args.quick));
    measure(&GROUPS, &args.only, &stage)
}
