//! What is in the manifests agrees with the programs.

use std::collections::{BTreeMap, BTreeSet};

use clap::{CommandFactory as _, Parser as _};
use deploy_tests::{deploy, kustomize, objects, overlay, overlays};
use entry::flags::{Command, NginxFlags};
use entry_kube::{SourceOptions, TlsSecrets};
use entry_model::Key;
use serde_json::{Value, json};

/// The objects of an overlay.
fn of(overlay_name: &str) -> Vec<Value> {
    objects(&kustomize(&overlay(overlay_name)).unwrap()).unwrap()
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

/// The settings of a service, which are in a `ConfigMap` whose name ends with a hash.
fn settings<'a>(objects: &'a [Value], service: &str) -> &'a Value {
    let mine = |object: &&Value| {
        object["kind"] == "ConfigMap" && object["metadata"]["name"].as_str().unwrap().starts_with(service)
    };
    &objects.iter().find(mine).unwrap()["data"]
}

fn deployments(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| object["kind"] == "Deployment")
}

fn containers(deployment: &Value) -> Vec<&Value> {
    let spec = &deployment["spec"]["template"]["spec"];
    let list = |name: &str| spec[name].as_array().map(Vec::as_slice).unwrap_or_default();
    list("initContainers").iter().chain(list("containers")).collect()
}

/// The rules in one order.
fn rules(role: &Value) -> Vec<String> {
    let mut rules: Vec<String> = role["rules"].as_array().unwrap().iter().map(Value::to_string).collect();
    rules.sort();
    rules
}

#[test]
fn rights_are_those_that_the_entry_needs() {
    for (name, tls_secrets) in [("base", TlsSecrets::Watched), ("entry-only", TlsSecrets::Named)] {
        let objects = of(name);
        let options = SourceOptions { tls_secrets, ..SourceOptions::default() };
        let needed = entry_kube::roles("nginx-kit", "sparrow", &options);
        let cluster = serde_json::to_value(&needed.cluster).unwrap();
        assert_eq!(rules(find(&objects, "ClusterRole", "nginx-kit")), rules(&cluster), "{name}");
        let [own] = needed.namespaced.as_slice() else { panic!("one Role, in the namespace of the entry") };
        assert_eq!(rules(find(&objects, "Role", "nginx-kit")), rules(&serde_json::to_value(own).unwrap()), "{name}");
        let expected = if tls_secrets == TlsSecrets::Watched { "watched" } else { "named" };
        assert_eq!(settings(&objects, "nginx-kit")["SPARROW_ENTRY_TLS_SECRETS"], expected, "{name}");
    }
}

/// The command line that means the same as these environment variables. Those of other commands are passed over.
fn command_line(program: &clap::Command, subcommand: &str, variables: &Value) -> Vec<String> {
    let variable_of = |argument: &clap::Arg| Some(argument.get_env()?.to_str()?.to_owned());
    let all = program.get_arguments().chain(program.find_subcommand(subcommand).unwrap().get_arguments());
    let flags: BTreeMap<String, &clap::Arg> =
        all.filter_map(|argument| Some((variable_of(argument)?, argument))).collect();
    let others: BTreeSet<String> =
        program.get_subcommands().flat_map(clap::Command::get_arguments).filter_map(variable_of).collect();
    let mut line = vec![program.get_name().to_owned(), subcommand.to_owned()];
    for (variable, value) in variables.as_object().unwrap() {
        let Some(flag) = flags.get(variable) else {
            assert!(others.contains(variable), "{} has no {variable}", program.get_name());
            continue;
        };
        let (flag, takes_value) = (flag.get_long().unwrap(), flag.get_action().takes_values());
        let value = value.as_str().unwrap();
        if takes_value {
            line.push(format!("--{flag}={value}"));
        } else {
            assert_eq!(value, "true", "{variable}");
            line.push(format!("--{flag}"));
        }
    }
    line
}

#[test]
fn settings_are_flags_of_the_programs() {
    for name in overlays().unwrap() {
        let objects = of(&name);
        for deployment in deployments(&objects) {
            let service = deployment["metadata"]["name"].as_str().unwrap();
            if service.starts_with("nginx-kit") {
                let program = entry::flags::command();
                for container in containers(deployment) {
                    let arguments = container["args"].as_array().unwrap();
                    let mut line = command_line(&program, arguments[0].as_str().unwrap(), settings(&objects, service));
                    line.extend(arguments[1..].iter().map(|argument| argument.as_str().unwrap().to_owned()));
                    let cli = entry::flags::parse(&line).unwrap_or_else(|error| panic!("{error}"));
                    let mounted = container["volumeMounts"][0]["mountPath"].as_str();
                    let configuration = match cli.command {
                        Command::Generate(flags) => flags,
                        Command::Watch(flags) => flags.configuration,
                        Command::Nginx(NginxFlags { program, stop, .. }) => {
                            assert_eq!(program.volume.to_str(), mounted);
                            // What terminates in time: the drain, connections that end, and some time for `watch` after it.
                            let grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
                                .as_u64()
                                .unwrap();
                            assert!((stop.drain_delay + stop.stop_timeout).as_secs() + 5 <= grace);
                            assert!(stop.drain_delay.as_secs() >= 3, "kube-proxy needs a moment to take a pod out");
                            continue;
                        }
                        other => panic!("{other:?}"),
                    };
                    assert_eq!(configuration.program.volume.to_str(), mounted);
                    let (label, value) = configuration.objects.node_selector;
                    assert_eq!(deployment["spec"]["template"]["spec"]["nodeSelector"], json!({ label: value }));
                    // Whoever has a balancer is known by its addresses, whoever has none by the nodes'.
                    let own = find(&objects, "Service", service);
                    let balanced = (own["spec"]["type"] == "LoadBalancer").then(|| {
                        let text = |field: &str| own["metadata"][field].as_str().unwrap().to_owned();
                        Key { namespace: text("namespace"), name: text("name") }
                    });
                    assert_eq!(configuration.objects.publish_service, balanced, "{name}");
                }
            } else {
                let program = rbd_server::settings::Cli::command();
                let line = command_line(&program, "serve", settings(&objects, service));
                let cli = rbd_server::settings::Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{error}"));
                let rbd_server::settings::Command::Serve(serve) = cli.command else { panic!("{line:?}") };
                serve.auth_settings().unwrap();
                let grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
                assert!(serve.grace.as_secs() < grace && serve.drain_delay.as_secs() >= 3);
            }
        }
    }
}

#[test]
fn template_is_one_setting_more() {
    let program = entry::flags::command();
    for name in overlays().unwrap() {
        let objects = of(&name);
        let is_entry = |deployment: &&Value| deployment["metadata"]["name"].as_str().unwrap().starts_with("nginx-kit");
        for deployment in deployments(&objects).filter(is_entry) {
            let mut variables = settings(&objects, "nginx-kit").clone();
            variables["SPARROW_ENTRY_TEMPLATE"] = json!("/template/nginx.conf.j2");
            for container in containers(deployment) {
                let line = command_line(&program, container["args"][0].as_str().unwrap(), &variables);
                entry::flags::parse(&line).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }
}

#[test]
fn ports_are_those_that_the_programs_listen_on() {
    let objects = of("base");
    let entry = settings(&objects, "nginx-kit");
    let nginx = containers(find(&objects, "Deployment", "nginx-kit")).pop().unwrap().clone();
    assert_eq!(nginx["name"], "nginx");
    let port = |container: &Value, name: &str| {
        let ports = container["ports"].as_array().unwrap();
        ports.iter().find(|port| port["name"] == name).unwrap()["containerPort"].to_string()
    };
    assert_eq!(entry["SPARROW_ENTRY_HTTP"], format!("0.0.0.0:{}", port(&nginx, "http")));
    assert_eq!(entry["SPARROW_ENTRY_HTTPS"], format!("0.0.0.0:{}", port(&nginx, "https")));
    let https = find(&objects, "Service", "nginx-kit")["spec"]["ports"][1]["nodePort"].to_string();
    assert_eq!(entry["SPARROW_ENTRY_PUBLIC_HTTPS_PORT"], https);
    let storage = settings(&objects, "rbd-rest-api");
    let rbd = containers(find(&objects, "Deployment", "rbd-rest-api")).pop().unwrap().clone();
    assert_eq!(storage["SPARROW_RBD_LISTEN"], format!("0.0.0.0:{}", port(&rbd, "http")));
    assert_eq!(storage["SPARROW_RBD_ADMIN"], format!("0.0.0.0:{}", port(&rbd, "admin")));
}

#[test]
fn only_who_asks_the_api_server_has_a_token_and_nobody_may_write_or_rise() {
    for name in overlays().unwrap() {
        let objects = of(&name);
        for deployment in deployments(&objects) {
            let spec = &deployment["spec"]["template"]["spec"];
            assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
            assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            for container in containers(deployment) {
                let asks = match container["name"].as_str().unwrap() {
                    "generate" | "watch" => true,
                    "nginx" => false,
                    "sparrow-rbd" => name != "original",
                    other => panic!("{other}"),
                };
                let mounts = container["volumeMounts"].as_array().unwrap();
                let has =
                    mounts.iter().any(|mount| mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount");
                assert_eq!(has, asks, "{name}: {}", container["name"]);
                let security = &container["securityContext"];
                assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }), "{name}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
            }
        }
    }
}

#[test]
fn selectors_meet_the_pods() {
    for name in overlays().unwrap() {
        let objects = of(&name);
        for deployment in deployments(&objects) {
            let service = deployment["metadata"]["name"].as_str().unwrap();
            let labels = &deployment["spec"]["template"]["metadata"]["labels"];
            for (kind, pointer) in [
                ("Deployment", "/spec/selector/matchLabels"),
                ("Service", "/spec/selector"),
                ("PodDisruptionBudget", "/spec/selector/matchLabels"),
                ("NetworkPolicy", "/spec/podSelector/matchLabels"),
            ] {
                let selector = find(&objects, kind, service).pointer(pointer).unwrap().as_object().unwrap();
                assert!(!selector.is_empty(), "{name}: {kind}");
                for (label, value) in selector {
                    assert_eq!(&labels[label], value, "{name}: {kind}");
                }
            }
        }
    }
}

/// The ports of a pod's containers, by name.
fn ports(deployment: &Value) -> BTreeSet<String> {
    let ports = containers(deployment).into_iter().filter_map(|container| container["ports"].as_array()).flatten();
    ports.map(|port| port["name"].as_str().unwrap().to_owned()).collect()
}

/// Who may reach which ports of a policy's pods: the peers of each rule that has the port, as they stand; `null` is everybody.
fn let_in<'a>(policy: &'a Value, port: &str) -> Vec<&'a Value> {
    let rules = policy["spec"]["ingress"].as_array().unwrap().iter();
    let having = rules.filter(|rule| rule["ports"].as_array().unwrap().iter().any(|own| own["port"] == port));
    having
        .flat_map(|rule| match rule["from"].as_array() {
            Some(peers) => peers.iter().collect(),
            None => vec![&Value::Null],
        })
        .collect()
}

#[test]
fn policies_let_in_whom_the_services_are_for_and_keep_the_admin_ports() {
    let metrics = json!({ "namespaceSelector": { "matchLabels": { "sparrow/metrics": "true" } } });
    let storage = json!({ "namespaceSelector": { "matchLabels": { "sparrow/block-storage": "true" } } });
    for name in overlays().unwrap() {
        let objects = of(&name);
        for deployment in deployments(&objects) {
            let service = deployment["metadata"]["name"].as_str().unwrap();
            let policy = find(&objects, "NetworkPolicy", service);
            let ports = ports(deployment);
            let served = find(&objects, "Service", service)["spec"]["ports"].as_array().unwrap();
            let served: BTreeSet<&str> = served.iter().map(|port| port["targetPort"].as_str().unwrap()).collect();
            // A policy's port that no container has lets nobody in.
            for rule in policy["spec"]["ingress"].as_array().unwrap() {
                for port in rule["ports"].as_array().unwrap() {
                    assert!(ports.contains(port["port"].as_str().unwrap()), "{name}: {service}: {port}");
                }
            }
            for port in &ports {
                let peers = let_in(policy, port);
                if !served.contains(port.as_str()) {
                    assert_eq!(peers, [&metrics], "{name}: {service}: {port}");
                } else if service.starts_with("nginx-kit") {
                    assert_eq!(peers, [&Value::Null], "{name}: {service}: {port}");
                } else {
                    let [nginx, other] = peers[..] else { panic!("{name}: {peers:?}") };
                    assert_eq!(other, &storage, "{name}");
                    // Pods of its own namespace, if they have these labels: those of the entry do.
                    assert_eq!(nginx.as_object().unwrap().len(), 1, "{name}");
                    let wanted = nginx["podSelector"]["matchLabels"].as_object().unwrap();
                    let entry = if name == "storage-only" { of("base") } else { of(&name) };
                    let labels = &find(&entry, "Deployment", "nginx-kit")["spec"]["template"]["metadata"]["labels"];
                    assert!(
                        !wanted.is_empty() && wanted.iter().all(|(label, value)| labels[label] == *value),
                        "{name}"
                    );
                }
            }
        }
    }
}

#[test]
fn policies_let_out_to_what_the_programs_talk_to() {
    let objects = of("base");
    // Any Service may be a backend of nginx; what a cloud tells a node of itself is none.
    let policy = &find(&objects, "NetworkPolicy", "nginx-kit")["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let [rule] = policy["egress"].as_array().unwrap().as_slice() else { panic!("{policy}") };
    assert!(rule["ports"].is_null(), "any port may be a backend's");
    let peers = rule["to"].as_array().unwrap();
    let block = |cidr: &str, except: &[&str]| json!({ "ipBlock": { "cidr": cidr, "except": except } });
    assert!(peers.contains(&json!({ "namespaceSelector": {} })), "{peers:?}");
    assert!(peers.contains(&block("0.0.0.0/0", &["169.254.0.0/16"])), "{peers:?}");
    assert!(peers.contains(&block("::/0", &["fe80::/10", "fd00:ec2::254/128"])), "{peers:?}");
    assert_eq!(peers.len(), 3);
    let policy = &find(&objects, "NetworkPolicy", "rbd-rest-api")["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let rules = policy["egress"].as_array().unwrap();
    assert!(rules.iter().all(|rule| rule["to"].is_null()), "addresses are not known here");
    let ports: Vec<&Value> = rules.iter().flat_map(|rule| rule["ports"].as_array().unwrap()).collect();
    let allowed = |number: u64, protocol: &str| {
        ports.iter().any(|port| {
            let first = port["port"].as_u64().unwrap();
            let last = port["endPort"].as_u64().unwrap_or(first);
            port["protocol"].as_str().unwrap_or("TCP") == protocol && (first..=last).contains(&number)
        })
    };
    // DNS; the API server; monitors by both messengers; managers and OSDs: ms_bind_port_min and ms_bind_port_max of Ceph.
    for (number, protocol) in [
        (53, "UDP"),
        (53, "TCP"),
        (443, "TCP"),
        (6443, "TCP"),
        (3300, "TCP"),
        (6789, "TCP"),
        (6800, "TCP"),
        (7568, "TCP"),
    ] {
        assert!(allowed(number, protocol), "{number} {protocol}");
    }
    for number in [22, 80, 2379, 8080, 10250] {
        assert!(!allowed(number, "TCP"), "{number}");
    }
}

#[test]
fn all_objects_have_the_recommended_labels() {
    for name in overlays().unwrap() {
        for object in of(&name) {
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/part-of"], "sparrow", "{name}: {object}");
            if object["kind"] != "Namespace" {
                assert!(labels["app.kubernetes.io/name"].is_string(), "{name}: {object}");
                assert_eq!(labels["app.kubernetes.io/version"], env!("CARGO_PKG_VERSION"), "{name}: {object}");
            }
        }
    }
}

#[test]
fn original_is_reproduced() {
    let objects = of("original");
    let service = find(&objects, "Service", "nginx-kit");
    assert_eq!(service["spec"]["type"], "NodePort");
    assert_eq!(service["spec"]["ports"][0]["nodePort"], 28888);
    let pod = &find(&objects, "Deployment", "rbd-rest-api")["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"], json!({ "zone": "ceph" }));
    let ceph = &pod["volumes"][0];
    assert_eq!((&ceph["name"], &ceph["hostPath"]["path"]), (&json!("ceph"), &json!("/etc/ceph")));
    assert_eq!(ceph.get("secret"), None);
    assert_eq!(
        pod["containers"][0]["volumeMounts"],
        json!([{ "mountPath": "/etc/ceph", "name": "ceph", "readOnly": true }])
    );
    assert_eq!(pod["imagePullSecrets"], json!([{ "name": "registry" }]));
    assert_eq!(find(&objects, "Service", "rbd-rest-api")["spec"]["ports"][0]["port"], 8080);
}

#[test]
fn images_are_built_with_the_toolchain_and_the_users_of_this_checkout() {
    let read = |path: &str| std::fs::read_to_string(deploy().join(path)).unwrap();
    let toolchain = read("../rust-toolchain.toml");
    let version = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    let (minor, _) = version.rsplit_once('.').unwrap();
    let objects = of("base");
    for (image, service) in [("entry", "nginx-kit"), ("rbd", "rbd-rest-api")] {
        let file = read(&format!("images/{image}/Containerfile"));
        assert!(file.contains(&format!("ARG BUILDER=docker.io/library/rust:{minor}-slim-")), "{image}: {version}");
        let user = &find(&objects, "Deployment", service)["spec"]["template"]["spec"]["securityContext"]["runAsUser"];
        assert!(file.contains(&format!("\nUSER {user}:{user}\n")), "{image}: {user}");
        assert!(file.contains(&format!(" sparrow:{user}")), "{image}: {user}");
    }
}

#[test]
fn image_has_the_module_where_the_entry_has_nginx_load_it() {
    let file = std::fs::read_to_string(deploy().join("images/entry/Containerfile")).unwrap();
    let line = file.lines().find(|line| line.contains("deploy/images/compile-module")).unwrap();
    let module = line.split(' ').next_back().and_then(|path| path.strip_prefix("/built")).unwrap();
    let cli = entry::flags::parse(["sparrow-entry", "generate"]).unwrap();
    let Command::Generate(flags) = cli.command else { panic!("{cli:?}") };
    assert_eq!(flags.traffic.nginx_module.to_str(), Some(module));
}
