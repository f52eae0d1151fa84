//! `bench-entry`: the figures that `sparrow-entry` must reach, each beside the same nginx with a file that a person wrote.
//! `../README.md` says what each figure means.

mod backend;
mod by_hand;
mod certificates;
mod cpu;
mod during;
mod entry;
mod envoy;
mod guard;
mod http;
mod lost;
mod many;
mod memory;
mod objects;
mod plain;
mod pod;
mod policies;
mod render;
mod requests;
mod settled;
mod stage;
mod storm;
mod table;
mod tls;
mod traefik;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::{Figure, Group, measure};
use clap::Parser;
use tikv_jemallocator::Jemalloc;

use crate::stage::Stage;

/// That of sparrow-entry, whose translation is measured in this process too.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Measures sparrow-entry beside nginx driven by hand, and fails where it is short.
#[derive(Debug, Parser)]
#[command(max_term_width = 120)]
struct Args {
    /// The binary to measure. Without it, the sparrow-entry beside this program.
    #[arg(long, value_name = "FILE", env = "SPARROW_ENTRY_BINARY")]
    service: Option<PathBuf>,
    /// Only these groups of figures; may be repeated. Without it, all.
    #[arg(long, value_name = "GROUP", value_parser = clap::builder::PossibleValuesParser::new(groups()))]
    only: Vec<String>,
    /// Shorter, for work on the service: fewer routes, changes and pairs. The lines say `quick` then; they prove nothing.
    #[arg(long)]
    quick: bool,
}

/// The groups of figures, in the order in which they are measured. What needs the API server with few objects in it comes
/// before what fills it.
const GROUPS: [Group<Stage>; 14] = [
    ("render", render::render),
    ("lost", lost::lost),
    ("settled", settled::settled),
    ("traefik", traefik::traefik),
    ("table", table::table),
    ("pod", pod::pod),
    ("certificates", certificates::certificates),
    ("storm", storm::storm),
    ("during", during::during),
    ("cpu", cpu::cpu),
    ("requests", requests::requests),
    ("policies", policies::policies),
    ("memory", memory::memory),
    ("many", many::many),
];

fn groups() -> Vec<&'static str> {
    GROUPS.iter().map(|(name, _)| *name).collect()
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-entry: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every figure is reached.
fn run(args: &Args) -> Result<bool> {
    // Two libraries bring one each.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let service = match &args.service {
        Some(file) => file.clone(),
        None => std::env::current_exe().context("find this program")?.with_file_name("sparrow-entry"),
    };
    ensure!(service.exists(), "{} is missing: cargo build --release -p entry", service.display());
    let stage = Stage::new(service, args.quick)?;
    println!("{}", Figure::heading(args.quick));
    measure(&GROUPS, &args.only, &stage)
}
