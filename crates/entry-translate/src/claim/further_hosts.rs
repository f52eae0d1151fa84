//! What an Ingress asks for beside its paths: further names of its host, and redirects of its hosts.

use std::collections::BTreeSet;
use std::sync::Arc;

use entry_model::{Action, HostName, Match, PathMatch, PathRewrite, Redirect, UrlText};

use super::{Claim, Claims, redirect_action, unless_closed};
use crate::claim_site::ClaimSite;
use crate::policy::annotations::Annotations;
use crate::policy::client_redirects::{HttpsRedirect, PathRedirect};

/// Adds what annotations ask for, by the claims of the paths.
pub fn add_further_claims(asked: &mut Claims, annotations: &Annotations<'_>) {
    redirect_paths(asked, annotations);
    let roots = root_claims(asked, annotations);
    // Requests for the root are redirected, whatever else is said of it.
    asked.rules.splice(0..0, roots);
    let mut further = alias_claims(asked, annotations);
    further.extend(www_claims(asked, annotations));
    let hosts: BTreeSet<&HostName> = further.iter().map(|claim| &claim.host).collect();
    for tls in &mut asked.tls {
        tls.further = hosts.iter().map(|host| (*host).clone()).collect();
    }
    asked.rules.extend(further);
}

/// Redirects requests for the paths of which a snippet says so.
fn redirect_paths(asked: &mut Claims, annotations: &Annotations<'_>) {
    let hosts: BTreeSet<HostName> = asked.hosts().cloned().collect();
    let site = ClaimSite::Annotation("nginx.ingress.kubernetes.io/configuration-snippet");
    let mut claims = Vec::new();
    for PathRedirect { path, redirect, is_of_host } in &annotations.path_redirects {
        let matches = Match::path(PathMatch::Exact(path.clone()));
        let action = unless_closed(annotations, Action::Redirect(redirect.clone()));
        for host in &hosts {
            let of_host = || asked.rules.iter().filter(|claim| claim.host == *host);
            if !(*is_of_host || of_host().any(|claim| claim.matches.path.matches(path))) {
                continue;
            }
            let claim = |action| {
                Claim::new(host.clone(), matches.clone(), action, Arc::default(), annotations.https_redirect, site)
            };
            claims.push(claim(action.clone()));
        }
    }
    // It comes before what is done with the path otherwise, unless nobody may ask for it.
    let is_redirected =
        |rule: &Claim| claims.iter().any(|claim| claim.host == rule.host && claim.matches == rule.matches);
    asked.rules.retain(|rule| rule.denies || !is_redirected(rule));
    asked.rules.splice(0..0, claims);
}

/// The root of each host that the object names, whether a path of the object matches it or another's; of hosts without a name where one of the object does.
fn root_claims(asked: &Claims, annotations: &Annotations<'_>) -> Vec<Claim> {
    let Some((target, annotation)) = &annotations.redirects.root else { return Vec::new() };
    let is_for_root = |claim: &&Claim| claim.host != HostName::Any || claim.matches.path.matches("/");
    let with_root = asked.rules.iter().filter(is_for_root);
    let hosts: BTreeSet<&HostName> = with_root.map(|claim| &claim.host).collect();
    let claim = |host: &HostName| {
        let path = target.as_ref().map(|path| PathRewrite::ReplaceTarget(UrlText::from_text(path)));
        let redirect = path.map(|path| Redirect { status: 302, scheme: None, host: None, port: None, path });
        let action = redirect.map_or(Action::UNAVAILABLE, Action::Redirect);
        let (matches, site) = (Match::path(PathMatch::Exact("/".to_owned())), ClaimSite::Annotation(annotation));
        Claim::new(host.clone(), matches, action, Arc::default(), annotations.https_redirect, site)
    };
    hosts.into_iter().map(claim).collect()
}

/// The paths of the first host, for each of its further names.
fn alias_claims(asked: &Claims, annotations: &Annotations<'_>) -> Vec<Claim> {
    let Some(first) = asked.rules.iter().map(|claim| &claim.host).find(|host| **host != HostName::Any) else {
        return Vec::new();
    };
    let of_first = || asked.rules.iter().filter(|claim| claim.host == *first);
    let aliases = annotations.aliases.hosts.iter().filter(|alias| *alias != first);
    let site = ClaimSite::Annotation(annotations.aliases.annotation);
    let claims = |alias: &HostName| {
        let alias = alias.clone();
        let (of_first_host, of_alias) = (redirect_action(annotations, first), redirect_action(annotations, &alias));
        of_first().map(move |claim| {
            // Clients are sent to where a name of the alias may stand, as they are from the first host.
            let is_redirected = of_first_host.as_ref() == Some(&claim.action);
            let action = of_alias.clone().filter(|_| is_redirected).unwrap_or_else(|| claim.action.clone());
            Claim { host: alias.clone(), site, yields: true, action, ..claim.clone() }
        })
    };
    aliases.flat_map(claims).collect()
}

/// All that is asked of a host with `www.` in front, or without it, is sent to the host of the Ingress.
fn www_claims(asked: &Claims, annotations: &Annotations<'_>) -> Vec<Claim> {
    let Some(annotation) = annotations.redirects.www else { return Vec::new() };
    let hosts: BTreeSet<&HostName> = asked.hosts().collect();
    let claim = |host: &HostName| {
        let HostName::Exact(name) = host else { return None };
        let other = name.strip_prefix("www.").map_or_else(|| format!("www.{name}"), str::to_owned);
        let (path, host) = (PathRewrite::Keep, Some(name.clone()));
        let action = Action::Redirect(Redirect { status: 308, scheme: None, host, port: None, path });
        // There the client is sent to HTTPS, if it is to.
        let (redirect, site) = (HttpsRedirect::Never, ClaimSite::Annotation(annotation));
        let claim = Claim::new(HostName::Exact(other), Match::any(), action, Arc::default(), redirect, site);
        Some(Claim { yields: true, ..claim })
    };
    hosts.into_iter().filter_map(claim).collect()
}
