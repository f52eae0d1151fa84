//! What belongs to no other topic.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Other",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("enable-modsecurity", Scope::Rule, NO_FIREWALL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("enable-owasp-core-rules", Scope::Rule, NO_FIREWALL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("modsecurity-snippet", Scope::Rule, NO_FIREWALL),
        IngressNginxAnnotation::never("modsecurity-transaction-id", Scope::Rule, NO_FIREWALL),
        IngressNginxAnnotation::never("fastcgi-index", Scope::Backend, NO_FASTCGI),
        IngressNginxAnnotation::never("fastcgi-params-configmap", Scope::Backend, NO_FASTCGI),
    ],
};

const NO_FIREWALL: &str = "this nginx has no firewall for applications, whose module is not kept up any more; put one before this entry or beside \
    the backend, and until then no request is looked into";

const NO_FASTCGI: &str = "backends are spoken to with HTTP; put a server that speaks FastCGI, such as nginx or Caddy, into the pod and name its \
    port";
