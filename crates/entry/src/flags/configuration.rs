//! What a configuration is made of: the objects, and how their traffic is served.

use clap::Args;
use nginx_conf::SettingsError;

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
            defaults: entry_translate::PolicyDefaults {
                timeouts: entry_model::Timeouts {
                    connect: Some(traffic.connect_timeout),
                    read: Some(traffic.read_timeout),
                    send: Some(traffic.send_timeout),
                },
                max_body_bytes: traffic.max_body_bytes,
                backends: objects.backend_mode(),
                resolves_names: !traffic.resolvers().is_empty(),
            },
            controller: objects.controller.clone(),
            follows_ingress_nginx: objects.ingress_nginx_annotations == IngressNginxAnnotations::On,
            service_selector: objects.service_selector.clone(),
            listeners: traffic.listeners(),
            default_certificate: objects.default_certificate.clone(),
            ..entry_translate::TranslateSettings::default()
        }
    }

    /// What is written for an nginx of this version, as `nginx -V` prints it.
    ///
    /// # Errors
    /// It names no version, or cannot do what is set.
    pub fn nginx_settings(&self, nginx_version: &str) -> anyhow::Result<nginx_conf::Settings> {
        let (traffic, workers) = (&self.traffic, &self.workers);
        let settings = nginx_conf::Settings {
            version: nginx_version.parse()?,
            modules: nginx_conf::Modules::parse(nginx_version),
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
            access_log: (traffic.access_log.as_os_str() != "off").then(|| traffic.access_log.clone()),
            user: workers.user.clone(),
            module: traffic.nginx_module.as_ref().map(std::path::absolute).transpose()?,
            ..nginx_conf::Settings::default()
        };
        let checked = settings.check().and_then(|()| settings.check_listeners(&traffic.listeners()));
        checked.map_err(|error| name_flag(&error))?;
        Ok(settings)
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
