//! The operations without async, for tests and simple callers.

use std::os::fd::AsFd;

use tokio::runtime::{Builder, Runtime};

use super::{Address, Dev, Link, LinkChange, Neighbour, Route, Rtnl, RtnlError, Rule, VethEnd};
use crate::{Netns, netns::Worker};

/// What the namespace's thread needs to run requests, and keeps between them.
pub(crate) struct Local {
    // The handle goes first, so that the runtime has nothing left to drive when it is dropped.
    rtnl: Rtnl,
    runtime: Runtime,
}

impl Local {
    fn new(label: &str) -> Result<Self, RtnlError> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(|source| RtnlError::Socket { label: label.to_owned(), source })?;
        let rtnl = runtime.block_on(async { Rtnl::open_here(label) })?;
        Ok(Self { rtnl, runtime })
    }
}

/// [`Rtnl`] without async: each call runs on the namespace's own thread, in a small runtime that
/// is made there at the first call and lasts as long as the namespace (four descriptors).
///
/// May be called from async code too; the waiting then blocks the worker.
#[derive(Clone, Copy, Debug)]
pub struct Blocking<'ns> {
    netns: &'ns Netns,
}

impl<'ns> Blocking<'ns> {
    pub(crate) fn new(netns: &'ns Netns) -> Self {
        Self { netns }
    }

    /// Runs several requests in one visit to the namespace's thread, which saves a few
    /// microseconds for each. The handle is of use only in there: nothing drives it once `work`
    /// has ended.
    ///
    /// ```no_run
    /// # use netns_lab::{Netns, RtnlError};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pod = Netns::new("pod")?;
    /// pod.blocking().run(async |rtnl| {
    ///     rtnl.set_up("lo").await?;
    ///     rtnl.routes().await
    /// })?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of the requests, and [`RtnlError::Exec`] if the closure panics.
    pub fn run<T, F>(self, work: F) -> Result<T, RtnlError>
    where
        F: AsyncFnOnce(Rtnl) -> Result<T, RtnlError> + Send,
        T: Send,
    {
        let label = self.netns.label();
        self.netns.exec_with(|worker: &mut Worker| {
            let local = match &mut worker.rtnl {
                Some(local) => local,
                unmade => unmade.insert(Local::new(label)?),
            };
            let rtnl = local.rtnl.clone();
            local.runtime.block_on(work(rtnl))
        })?
    }
}

/// One blocking method for each async one, so that neither has an operation the other lacks.
macro_rules! blocking {
    ($( $name:ident ( $($arg:ident : $kind:ty),* ) -> $result:ty; )*) => {
        impl Blocking<'_> {
            $(
                #[doc = concat!("[`Rtnl::", stringify!($name), "`], waiting for the answer.")]
                ///
                /// # Errors
                /// The same.
                pub fn $name(self, $($arg: $kind),*) -> Result<$result, RtnlError> {
                    self.run(async move |rtnl| rtnl.$name($($arg),*).await)
                }
            )*
        }
    };
}

blocking! {
    link(dev: impl Into<Dev> + Send) -> Link;
    links() -> Vec<Link>;
    change_link(dev: impl Into<Dev> + Send, change: &LinkChange) -> ();
    set_up(dev: impl Into<Dev> + Send) -> ();
    set_down(dev: impl Into<Dev> + Send) -> ();
    move_link(dev: impl Into<Dev> + Send, netns: &(impl AsFd + Sync)) -> ();
    delete_link(dev: impl Into<Dev> + Send) -> ();
    add_bridge(name: &str) -> ();
    add_veth(end: &VethEnd<'_>, peer: &VethEnd<'_>) -> ();
    add_address(address: &Address) -> ();
    delete_address(address: &Address) -> ();
    addresses() -> Vec<Address>;
    add_route(route: &Route) -> ();
    replace_route(route: &Route) -> ();
    change_route(route: &Route) -> ();
    append_route(route: &Route) -> ();
    prepend_route(route: &Route) -> ();
    delete_route(route: &Route) -> ();
    routes() -> Vec<Route>;
    add_rule(rule: &Rule) -> ();
    delete_rule(rule: &Rule) -> ();
    rules() -> Vec<Rule>;
    add_neighbour(neighbour: &Neighbour) -> ();
    replace_neighbour(neighbour: &Neighbour) -> ();
    change_neighbour(neighbour: &Neighbour) -> ();
    delete_neighbour(neighbour: &Neighbour) -> ();
    neighbours() -> Vec<Neighbour>;
    proxies() -> Vec<Neighbour>;
}
