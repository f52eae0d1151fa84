//! The commands, one file each where there is more to them than a few lines.

mod check;
mod migrate;
mod render;
mod serve;

use std::process::ExitCode;

use anyhow::Context as _;
use nginx_process::Volume;

use crate::flags::{Cli, Command, ConfigurationFlags, ProgramFlags};
use crate::generator::Generator;
use crate::pipeline::Pipeline;
use crate::source;

/// Runs a command.
///
/// # Errors
/// What it cannot do, with what to do about it.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // Two libraries bring one each.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli.command {
        Command::Generate(flags) => generate(&flags).await.map(|()| ExitCode::SUCCESS),
        Command::Watch(flags) => serve::watch(&flags).await,
        Command::Nginx(flags) => serve::nginx(&flags).await,
        Command::Run(flags) => serve::run(&flags).await,
        Command::Render(flags) => render::render(&flags).await,
        Command::Check(flags) => check::check(&flags).await,
        Command::Migrate(flags) => migrate::migrate(&flags).await,
    }
}

/// The generator for the nginx that is installed here.
async fn generator(flags: &ConfigurationFlags) -> anyhow::Result<Generator> {
    let nginx_version = nginx_process::nginx_version(&flags.program.nginx).await?;
    Generator::new(flags, &nginx_version)
}

fn volume(program: &ProgramFlags) -> anyhow::Result<Volume> {
    Volume::open(std::path::absolute(&program.volume)?).context("--volume")
}

async fn generate(flags: &ConfigurationFlags) -> anyhow::Result<()> {
    let (mut pipeline, status) = Pipeline::new(generator(flags).await?, volume(&flags.program)?);
    let snapshot = source::read(&flags.objects).await?;
    pipeline.offer(snapshot.into()).await?;
    tracing::info!(revision = status.progress.borrow().offered, "written");
    Ok(())
}
