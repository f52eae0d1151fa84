//! Whoever makes tables: the generator's side, with real routes.

use std::net::SocketAddr;

use entry_model::{
    Action, Backend, Forward, Host, HostName, Key, Kind, ListenerSet, Match, ObjectRef, PathMatch, PathRewrite,
    Policies, Policy, Protocol, Routes, Rule,
};
use nginx_process::{Error, TableRecords, Volume};
use route_table::{Changes, Classifier, Planner, Revision};

/// A generator that publishes tables on a volume.
pub struct TableGenerator {
    volume: Volume,
    planner: Planner,
    routes: Routes,
    revision: u64,
}

impl TableGenerator {
    /// One that starts: it counts on from what is on the volume.
    pub fn new(volume: &Volume) -> TableGenerator {
        let revision = volume.newest_table_revision().unwrap_or_default().0;
        let mut policies = Policies::default();
        policies.intern(&Policy::default());
        let routes = Routes { policies, ..Routes::default() };
        TableGenerator { volume: volume.clone(), planner: Planner::new(Classifier::default()), routes, revision }
    }

    /// Routes a host to a backend from now on.
    pub fn route(&mut self, host: &str, address: SocketAddr) {
        self.route_all(&[host.to_owned()], address);
    }

    /// Routes hosts to a backend from now on, each by an Ingress of its name.
    pub fn route_all(&mut self, hosts: &[String], address: SocketAddr) {
        let backend = Backend { address: address.into(), protocol: Protocol::Http, keep_alive: true };
        let policy = self.routes.policies.intern(&Policy::default());
        let rule = |host: &str| Rule {
            listeners: ListenerSet::ALL,
            matches: Match::path(PathMatch::Prefix("/".to_owned())),
            action: Action::Forward(Forward::to(backend.clone(), PathRewrite::Keep)),
            policy,
            origin: ObjectRef::new(Kind::Ingress, Key { namespace: "default".to_owned(), name: host.to_owned() }),
        };
        for host in hosts {
            let rules = vec![rule(host)];
            self.routes
                .hosts
                .insert(HostName::Exact(host.clone()), Host { rules: rules.into(), ..Host::default() }.into());
        }
    }

    /// Routes a host nowhere any more.
    pub fn remove(&mut self, host: &str) {
        self.routes.hosts.remove(&HostName::Exact(host.to_owned()));
    }

    /// What changed since it was planned last, under the next revision.
    pub fn plan(&mut self) -> Changes {
        self.revision += 1;
        self.planner.plan(&self.routes, Revision(self.revision))
    }

    /// All of the table, under the next revision.
    pub fn plan_whole(&mut self) -> Changes {
        self.plan();
        self.planner.full()
    }

    /// Publishes what changed, or a whole table if another generator was faster. If it is time, all of it takes the place of the records.
    /// The revision.
    pub fn publish(&mut self, frame: &str) -> u64 {
        let mut changes = self.plan();
        loop {
            match self.volume.publish(frame, &changes) {
                Ok(records) => {
                    if records.should_compact() {
                        self.compact(frame);
                    }
                    return self.revision;
                }
                Err(Error::TableOrder { newest, .. }) => self.revision = self.revision.max(newest.unwrap_or_default()),
                Err(error) => panic!("{error}"),
            }
            changes = self.plan_whole();
        }
    }

    /// Has all of the table, as its routes are now, take the place of the records up to its revision.
    pub fn compact(&mut self, frame: &str) {
        self.planner.plan(&self.routes, Revision(self.revision));
        let whole = Changes { revision: Revision(self.revision), ..self.planner.full() };
        match self.volume.compact(frame, &whole) {
            Ok(()) | Err(Error::TableOrder { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Publishes all of the table.
    pub fn publish_whole(&mut self, frame: &str) -> TableRecords {
        let whole = self.plan_whole();
        self.volume.publish(frame, &whole).unwrap()
    }

    /// The revision that it planned last.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}
