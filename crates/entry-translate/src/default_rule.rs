//! What becomes of requests that no rule takes, where the operator names a Service for them.

use entry_model::{
    Acceptance, Action, Backend, BackendMode, FieldPath, Finding, Forward, ListenerSet, Match, PathRewrite, Policy,
    Protocol, Routes, Rule, Snapshot, Verdict, Verdicts,
};

use crate::TranslateSettings;
use crate::default_backend::DefaultBackend;
use crate::resolve::parse_protocol;

/// Adds the rule for them, unless an object has one. An object's own is what its Ingress says, and counts more.
pub fn add_default_rule(routes: &mut Routes, snapshot: &Snapshot, settings: &TranslateSettings) {
    let Some(asked) = asked(snapshot, settings).filter(|_| routes.default.is_none()) else { return };
    let Ok((address, port)) = asked.find(snapshot.services.get(&asked.service), settings.defaults.backends) else {
        return;
    };
    let protocol = port.app_protocol.as_deref().and_then(parse_protocol).unwrap_or(Protocol::Http);
    let backend = Backend { address, protocol, keep_alive: true };
    routes.default = Some(Rule {
        listeners: ListenerSet::ALL,
        matches: Match::any(),
        action: Action::Forward(Forward::to(backend, PathRewrite::Keep)),
        policy: routes.policies.intern(&Policy::default()),
        origin: asked.object(),
    });
}

/// Adds to the verdicts why the Service cannot be reached that the operator names, if it cannot.
pub fn report_default_backend(verdicts: &mut Verdicts, snapshot: &Snapshot, settings: &TranslateSettings) {
    let Some(asked) = asked(snapshot, settings) else { return };
    let service = snapshot.services.get(&asked.service);
    let makes_pages = !settings.defaults.custom_http_errors.is_empty();
    let pages = || asked.find(service, BackendMode::ClusterIp).map(drop);
    let found = asked.find(service, settings.defaults.backends).map(drop);
    let Err((reason, message)) = found.and_then(|()| if makes_pages { pages() } else { Ok(()) }) else { return };
    let message = format!(
        "{message}. It is the default backend for all (`default-backend`): until then, what no rule takes is answered 404, and errors \
         go through as they are"
    );
    let finding = Finding { field: FieldPath::OBJECT.to_string(), reason, message, is_loss: true };
    let object = asked.object();
    let generation = service.map_or(0, |service| service.meta.generation);
    let verdict = match verdicts.get(&object).cloned() {
        Some(mut verdict) => {
            verdict.add(&finding);
            verdict
        }
        None => Verdict::new(generation, Acceptance::Rejected, vec![finding]),
    };
    verdicts.insert(object, verdict);
}

/// The Service that the operator names, unless it is put aside: of that its verdict says enough.
fn asked<'a>(snapshot: &Snapshot, settings: &'a TranslateSettings) -> Option<&'a DefaultBackend> {
    let asked = settings.defaults.default_backend.as_ref()?;
    let object = asked.object();
    let is_aside = settings.quarantine.contains_key(&object) || snapshot.unreadable.contains_key(&object);
    (!is_aside).then_some(asked)
}
