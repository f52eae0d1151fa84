//! What a configuration is made of: the objects, and how their traffic is served.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use entry_model::{HEADER_CONFIG_MAPS, Snapshot};
use nginx_conf::{Modules, SettingsError};

use crate::config_map::{self, KeyState, KeyValues, SharedSettings};

use super::{HostOwnership, IngressNginxAnnotations, ObjectFlags, ProgramFlags, TrafficFlags, WorkerFlags};

/// The flags of all commands that make configurations.
#[derive(Debug, Clone, Args)]
pub struct ConfigurationFlags {
    /// What is read.
    #[command(flatten)]
    pub objects: ObjectFlags,
    /// How it is served.
    #[command(flatten)]
    pub traffic: TrafficFlags,
    /// By which nginx.
    #[command(flatten)]
    pub program: ProgramFlags,
    /// With which workers.
    #[command(flatten)]
    pub workers: WorkerFlags,
}

impl ConfigurationFlags {
    /// What routes are built with.
    pub fn translate_settings(&self) -> entry_translate::TranslateSettings {
        let (objects, traffic) = (&self.objects, &self.traffic);
        entry_translate::TranslateSettings {
            ownership: match objects.host_ownership {
                HostOwnership::Namespace => entry_translate::HostOwnership::Namespace,
                HostOwnership::None => entry_translate::HostOwnership::None,
            },
            bounds: objects.bounds.bounds(),
            tls_passthrough: objects.tls_passthrough_annotations(),
            stream_services: objects.stream_services(),
            defaults: self.policy_defaults(),
            controller: objects.controller.clone(),
            follows_ingress_nginx: objects.ingress_nginx_annotations == IngressNginxAnnotations::On,
            service_selector: objects.service_selector.clone(),
            listeners: traffic.listeners(),
            default_certificate: objects.default_certificate.clone(),
            ..entry_translate::TranslateSettings::default()
        }
    }

    fn policy_defaults(&self) -> entry_translate::PolicyDefaults {
        let traffic = &self.traffic;
        entry_translate::PolicyDefaults {
            timeouts: entry_model::Timeouts {
                connect: Some(traffic.connect_timeout),
                read: Some(traffic.read_timeout),
                send: Some(traffic.send_timeout),
            },
            max_body_bytes: traffic.max_body_bytes,
            backends: self.objects.backend_mode(),
            resolves_names: !traffic.resolvers().is_empty(),
            default_backend: self.objects.default_backend.clone(),
            ..entry_translate::PolicyDefaults::default()
        }
    }

    /// The settings for all, as far as flags say them.
    ///
    /// # Errors
    /// As [`ConfigurationFlags::nginx_settings`], and a value of `--set` that cannot be used, or not as a whole.
    pub fn shared_settings(&self, nginx_version: &str) -> anyhow::Result<SharedSettings> {
        let nginx = self.nginx_settings(nginx_version)?;
        let mut settings = SharedSettings { nginx, defaults: self.policy_defaults() };
        let values: BTreeMap<_, _> = self.traffic.set.iter().cloned().collect();
        let named = HEADER_CONFIG_MAPS.iter().find(|name| values.contains_key(**name));
        if let Some(name) = named {
            anyhow::bail!("--set {name}: another ConfigMap is named in the one that --config names");
        }
        let keys = KeyValues { values: &values, good: &BTreeMap::new(), snapshot: &Snapshot::default() };
        for outcome in config_map::apply(&mut settings, keys) {
            if let Some((_, message)) =
                outcome.message().filter(|_| outcome.is_loss() || outcome.state == KeyState::Unknown)
            {
                anyhow::bail!("--set {}: {message}", outcome.name);
            }
        }
        Ok(settings)
    }

    /// What is written for an nginx of this version, as `nginx -V` prints it.
    ///
    /// # Errors
    /// It names no version, or cannot do what is set.
    pub fn nginx_settings(&self, nginx_version: &str) -> anyhow::Result<nginx_conf::Settings> {
        let (traffic, workers) = (&self.traffic, &self.workers);
        let (mut modules, stream_module) = self.modules(nginx_version)?;
        let brotli_module = self.brotli_module(nginx_version)?;
        modules.brotli |= brotli_module.is_some();
        let settings = nginx_conf::Settings {
            version: nginx_version.parse()?,
            modules,
            stream_module,
            brotli_module,
            public_https_port: traffic.public_https_port,
            trusted: traffic.trusted.clone(),
            trusted_headers: traffic.trusted_headers.clone(),
            proxy_protocol: traffic.proxy_protocol,
            control: std::path::absolute(self.program.control_socket())?,
            runtime: std::path::absolute(&self.program.runtime)?,
            worker_processes: workers.workers,
            worker_connections: workers.worker_connections,
            worker_shutdown_timeout: workers.worker_shutdown_timeout,
            keepalive_timeout: traffic.keepalive_timeout,
            timeouts: nginx_conf::Timeouts {
                connect: traffic.connect_timeout,
                read: traffic.read_timeout,
                send: traffic.send_timeout,
            },
            max_body_bytes: traffic.max_body_bytes,
            max_header_bytes: traffic.max_header_bytes,
            resolvers: traffic.resolvers(),
            log_format: match traffic.access_log_fields.as_slice() {
                [] => nginx_conf::LogFormat::default(),
                fields => nginx_conf::LogFormat::Fields(fields.to_vec()),
            },
            access_log: (traffic.access_log.as_os_str() != "off").then(|| traffic.access_log.clone()),
            user: workers.user.clone(),
            module: std::path::absolute(&traffic.nginx_module)?,
            ..nginx_conf::Settings::default()
        };
        let checked = settings.check_proxy_protocol().and_then(|()| settings.check());
        let checked = checked.and_then(|()| settings.check_listeners(&traffic.listeners()));
        checked.map_err(|error| name_flag(&error))?;
        Ok(settings)
    }
}

impl ConfigurationFlags {
    /// The file of the module for Brotli, if there is one.
    fn brotli_module(&self, nginx_version: &str) -> anyhow::Result<Option<PathBuf>> {
        let Some(named) = &self.traffic.brotli_module else {
            let is_built_in = Modules::parse(nginx_version).brotli;
            return Ok(Some(Modules::brotli_file(nginx_version)).filter(|file| !is_built_in && file.is_file()));
        };
        anyhow::ensure!(named.is_file(), "--brotli-module: {} is no file", named.display());
        Ok(Some(std::path::absolute(named)?))
    }

    /// The modules of this nginx, and the file of its stream module where that is one. A file that is not there is a module that is
    /// not there, unless a flag names it.
    fn modules(&self, nginx_version: &str) -> anyhow::Result<(Modules, Option<PathBuf>)> {
        let mut modules = Modules::parse(nginx_version);
        let Some(found) = Modules::stream_file(nginx_version) else { return Ok((modules, None)) };
        if let Some(named) = &self.traffic.stream_module {
            anyhow::ensure!(named.is_file(), "--stream-module: {} is no file", named.display());
            return Ok((modules, Some(std::path::absolute(named)?)));
        }
        if found.is_file() {
            return Ok((modules, Some(found)));
        }
        for of_stream in
            [&mut modules.stream, &mut modules.stream_ssl_preread, &mut modules.stream_realip, &mut modules.stream_pass]
        {
            *of_stream = false;
        }
        Ok((modules, None))
    }
}

/// What is wrong with settings, by the flag that sets them.
fn name_flag(error: &SettingsError) -> anyhow::Error {
    let flag = match error.field() {
        // It is a file in that directory.
        "control" => "--runtime".to_owned(),
        field => format!("--{}", field.replace('_', "-")),
    };
    let hint = if matches!(error, SettingsError::Untrusted { .. }) { ": name them with --trusted" } else { "" };
    anyhow::anyhow!("{flag}: {error}{hint}")
}
