//! What an installation of ingress-nginx consists of, found among objects as they are written.

use std::collections::{BTreeMap, BTreeSet};

use entry_model::{
    IngressBackend, IngressClass, IpFamily, Key, Meta, PortRef, Service, ServiceKind, ServicePort, Snapshot,
};
use serde_json::Value;

/// What `spec.controller` of its classes says where no flag says otherwise.
const CONTROLLER: &str = "k8s.io/ingress-nginx";
/// Its class where no flag says otherwise.
const CLASS: &str = "nginx";

/// Of documentation (RFC 5737): nothing is sent there.
const SOME_ADDRESS: [u8; 4] = [192, 0, 2, 1];

/// What an installation of ingress-nginx consists of, beside its Ingresses.
#[derive(Debug, Default)]
pub struct Installation {
    /// Its Deployments and `DaemonSets`.
    pub controllers: Vec<Controller>,
}

/// A Deployment or `DaemonSet` that runs the controller.
#[derive(Debug)]
pub struct Controller {
    /// `Deployment ingress-nginx/controller`.
    pub name: String,
    /// Its flags, by name and value; without a value it is a switch that is on.
    pub flags: Vec<(String, Option<String>)>,
}

impl Installation {
    /// Finds it among objects.
    pub fn find(objects: &[Value]) -> Self {
        Self { controllers: objects.iter().filter_map(Controller::of).collect() }
    }

    /// The `ConfigMaps` that a flag names: `configmap` those with settings for all.
    pub fn config_maps(&self, flag: &str) -> BTreeSet<Key> {
        self.values(flag).filter_map(parse_key).collect()
    }

    /// Whether a switch is on at a controller.
    pub fn is_on(&self, flag: &str) -> bool {
        self.values(flag).any(|value| value == "true")
    }

    /// The values that a flag has.
    fn values<'a>(&'a self, flag: &'a str) -> impl Iterator<Item = &'a str> {
        let flags = self.controllers.iter().flat_map(|controller| &controller.flags);
        flags.filter(move |(name, _)| name == flag).filter_map(|(_, value)| value.as_deref())
    }

    /// Gives its classes to our controller, so that its Ingresses are judged as if they were ours. Classes that Ingresses name and
    /// nobody has made are made: ingress-nginx serves its own class without. The names of the classes.
    pub fn give_classes_to(&self, controller: &str, snapshot: &mut Snapshot) -> BTreeSet<String> {
        let controllers: BTreeSet<&str> = self.values("controller-class").chain([CONTROLLER]).collect();
        let named: BTreeSet<&str> = self.values("ingress-class").chain([CLASS]).collect();
        let without_class = self.is_on("watch-ingress-without-class");
        let classes = snapshot.classes.values().map(|class| IngressClass::clone(class));
        let theirs = classes.filter(|class| controllers.contains(&*class.controller));
        let mut ours: Vec<_> = theirs.collect();
        for name in named {
            let key = Key { namespace: String::new(), name: name.to_owned() };
            if !snapshot.classes.contains_key(&key) {
                let meta = Meta { name: key.name, ..Meta::default() };
                ours.push(IngressClass { meta, controller: String::new(), default: false });
            }
        }
        let names = ours.iter().map(|class| class.meta.name.clone()).collect();
        for class in ours {
            let default = class.default || without_class;
            snapshot.put(IngressClass { controller: controller.to_owned(), default, ..class });
        }
        names
    }
}

/// Puts Services into a snapshot that its Ingresses name and that are not there. How many they are.
pub fn add_missing_services(snapshot: &mut Snapshot) -> usize {
    let mut missing: BTreeMap<Key, Service> = BTreeMap::new();
    for ingress in snapshot.ingresses.values() {
        let of_paths = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend);
        for backend in of_paths.chain(&ingress.default_backend) {
            let IngressBackend::Service { name, port } = backend else { continue };
            let key = Key { namespace: ingress.meta.namespace.clone(), name: name.clone() };
            if !snapshot.services.contains_key(&key) {
                missing.entry(key.clone()).or_insert_with(|| service_without_ports(key)).ports.push(service_port(port));
            }
        }
    }
    let count = missing.len();
    for service in missing.into_values() {
        snapshot.put(service);
    }
    count
}

fn service_without_ports(key: Key) -> Service {
    let Key { namespace, name } = key;
    Service {
        meta: Meta { namespace, name, ..Meta::default() },
        kind: ServiceKind::ClusterIp,
        cluster_ips: vec![SOME_ADDRESS.into()],
        family: IpFamily::V4,
        ports: Vec::new(),
        addresses: Vec::new(),
    }
}

fn service_port(port: &PortRef) -> ServicePort {
    let (name, port) = match port {
        PortRef::Number(port) => (String::new(), *port),
        PortRef::Name(name) => (name.clone(), 80),
    };
    ServicePort { name, port, protocol: "TCP".to_owned(), app_protocol: None }
}

impl Controller {
    /// An object, if it is one.
    fn of(object: &Value) -> Option<Self> {
        let kind = object["kind"].as_str().filter(|kind| ["Deployment", "DaemonSet"].contains(kind))?;
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or("default");
        let name = format!("{kind} {namespace}/{}", metadata["name"].as_str()?);
        let containers = object.pointer("/spec/template/spec/containers")?.as_array()?;
        let container = containers.iter().find(|container| runs_controller(container))?;
        let words = ["command", "args"].iter().filter_map(|field| container[*field].as_array()).flatten();
        let words: Vec<_> = words.filter_map(Value::as_str).map(|word| expand(word, namespace)).collect();
        Some(Self { name, flags: parse_flags(&words) })
    }
}

/// Whether a container runs the controller.
fn runs_controller(container: &Value) -> bool {
    let is_image = container["image"].as_str().is_some_and(|image| image.contains("ingress-nginx/controller"));
    let words = ["command", "args"].iter().filter_map(|field| container[*field].as_array()).flatten();
    let mut words = words.filter_map(Value::as_str);
    is_image || words.any(|word| word.ends_with("/nginx-ingress-controller"))
}

/// A word of a command in which the variable stands that its manifests use.
fn expand(word: &str, namespace: &str) -> String {
    word.replace("$(POD_NAMESPACE)", namespace)
}

/// The flags of a command line: `--name=value`, `--name value`, `--name`.
fn parse_flags(words: &[String]) -> Vec<(String, Option<String>)> {
    let mut flags = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix('-').map(|rest| rest.trim_start_matches('-')) else { continue };
        match flag.split_once('=') {
            Some((name, value)) => flags.push((name.to_owned(), Some(value.to_owned()))),
            None => {
                let value = words.next_if(|next| !next.starts_with('-')).cloned();
                flags.push((flag.to_owned(), value.or_else(|| Some("true".to_owned()))));
            }
        }
    }
    flags
}

/// `NAMESPACE/NAME`.
fn parse_key(text: &str) -> Option<Key> {
    let (namespace, name) = text.split_once('/')?;
    Some(Key { namespace: namespace.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(image: &str, arguments: &[&str]) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "controller", "namespace": "edge"},
            "spec": {"template": {"spec": {"containers": [{"image": "other"}, {"image": image, "args": arguments}]}}},
        })
    }

    #[test]
    fn controller_is_found_by_its_image_or_its_command() {
        let arguments = [
            "/nginx-ingress-controller",
            "--configmap=$(POD_NAMESPACE)/settings",
            "--enable-ssl-passthrough",
            "--v",
            "2",
            "--publish-service=edge/balancer",
        ];
        for image in ["registry.example/ingress-nginx/controller:v1.15.0@sha256:0", "mirror.example/controller"] {
            let found = Installation::find(&[deployment(image, &arguments)]);
            let [controller] = &found.controllers[..] else { panic!("{found:?}") };
            assert_eq!(controller.name, "Deployment edge/controller");
            let flags: Vec<_> =
                controller.flags.iter().map(|(name, value)| (&**name, value.as_deref().unwrap_or_default())).collect();
            let expected = [
                ("configmap", "edge/settings"),
                ("enable-ssl-passthrough", "true"),
                ("v", "2"),
                ("publish-service", "edge/balancer"),
            ];
            assert_eq!(flags, expected);
            assert_eq!(
                found.config_maps("configmap").into_iter().map(|key| (key.namespace, key.name)).collect::<Vec<_>>(),
                [("edge".to_owned(), "settings".to_owned())]
            );
        }
        assert!(Installation::find(&[deployment("web", &["--configmap=a/b"]), json!(7)]).controllers.is_empty());
    }

    #[test]
    fn classes_are_given_to_our_controller() {
        let class = |name: &str, controller: &str| IngressClass {
            meta: Meta { name: name.to_owned(), ..Meta::default() },
            controller: controller.to_owned(),
            default: false,
        };
        let mut snapshot = Snapshot::default();
        snapshot.put(class("public", "k8s.io/ingress-nginx"));
        snapshot.put(class("private", "example.com/private"));
        snapshot.put(class("traefik", "traefik.io/ingress-controller"));
        let flags = ["--controller-class=example.com/private", "--watch-ingress-without-class=true"];
        let found = Installation::find(&[deployment("ingress-nginx/controller", &flags)]);
        let names = found.give_classes_to("sparrow/entry", &mut snapshot);
        assert!(names.iter().eq(["nginx", "private", "public"]), "{names:?}");
        let classes: Vec<_> =
            snapshot.classes.values().map(|class| (&*class.meta.name, &*class.controller, class.default)).collect();
        let expected = [
            ("nginx", "sparrow/entry", true),
            ("private", "sparrow/entry", true),
            ("public", "sparrow/entry", true),
            ("traefik", "traefik.io/ingress-controller", false),
        ];
        assert_eq!(classes, expected);
    }
}
