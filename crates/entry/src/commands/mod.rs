//! The commands, one file each where there is more to them than a few lines.

mod check;
mod render;
mod serve;

use std::process::ExitCode;

use anyhow::Context as _;
use nginx_process::Volume;

use crate::pipeline::{Maker, Pipeline};
use crate::settings::{Cli, Command, Settings};
use crate::source;

/// Runs a command.
///
/// # Errors
/// What it cannot do, with what to do about it.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let settings = cli.settings;
    // Two libraries bring one each.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli.command {
        Command::Generate => generate(&settings).await.map(|()| ExitCode::SUCCESS),
        Command::Watch => serve::watch(&settings).await,
        Command::Nginx => serve::nginx(&settings).await,
        Command::Run => serve::run(&settings).await,
        Command::Render(arguments) => render::render(&settings, &arguments).await,
        Command::Check(arguments) => check::check(&settings, &arguments).await,
    }
}

/// What nginx makes of these settings.
async fn maker(settings: &Settings) -> anyhow::Result<Maker> {
    let said = nginx_process::version(&settings.nginx).await?;
    Maker::new(settings, &said)
}

fn volume(settings: &Settings) -> anyhow::Result<Volume> {
    Volume::open(std::path::absolute(&settings.volume)?).context("--volume")
}

async fn generate(settings: &Settings) -> anyhow::Result<()> {
    let (mut pipeline, told) = Pipeline::new(maker(settings).await?, volume(settings)?);
    let snapshot = source::read(settings).await?;
    pipeline.offer(snapshot.into()).await?;
    tracing::info!(generation = told.progress.borrow().offered, "written");
    Ok(())
}
