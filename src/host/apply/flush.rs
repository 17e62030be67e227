//! `ip addr flush` and `ip route flush`: iproute2 lists what fits and deletes it piece by piece.

use super::Fault;
use super::mutation::{Effects, Errno, Family, RouteFilter};
use crate::addr::IfName;
use crate::host::state::HostState;
use crate::host::state::route::{Route, TABLE_MAIN};
use crate::host::state::route6::Route6;
use ipnet::IpNet;

/// inet_dump_fib(), inet6_dump_fib(): a table is there from its first route on, and stays.
const NO_TABLE: Fault = (Errno::Enoent, "there is no such table");

impl HostState {
    pub(super) fn addr_flush(
        &mut self,
        dev: IfName,
        family: Option<Family>,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        let index = self.index_of(dev)?;
        let of = |wanted| family.is_none_or(|f| f == wanted);
        // a secondary that is promoted when its primary goes is met in the next round
        while let Some(first) = self.link(index).and_then(|l| l.addrs.first()).copied()
            && of(Family::Inet)
        {
            self.addr_gone(index, &first, fx);
        }
        while let Some(net) = self.link(index).and_then(|l| l.addrs6.first()).map(|a| a.net)
            && of(Family::Inet6)
        {
            self.addr_del6(dev, net)?;
        }
        Ok(())
    }

    pub(super) fn route_flush(&mut self, filter: &RouteFilter) -> Result<(), Fault> {
        let dev = filter.dev.map(|d| self.index_of(d)).transpose()?;
        if filter.family == Family::Inet6 {
            let table = filter.table.unwrap_or(TABLE_MAIN);
            if !self.has_table6(table) {
                return Err(NO_TABLE);
            }
            let goes = |r: &Route6| {
                r.table == table
                    && dev.is_none_or(|d| r.dev == Some(d))
                    && filter.proto.is_none_or(|p| r.proto == p)
                    && filter.dst.is_none_or(|dst| dst == IpNet::V6(r.dst))
            };
            self.routes6.retain(|r| !goes(r));
            return Ok(());
        }
        let table = filter.table.unwrap_or(TABLE_MAIN);
        // a route of several ways has no device of its own (filter_nlmsg)
        let goes = |r: &Route| {
            dev.is_none_or(|d| matches!(&r.hops[..], [hop] if hop.dev == d))
                && filter.proto.is_none_or(|p| r.proto == p)
                && filter.dst.is_none_or(|dst| dst == IpNet::V4(r.dst))
        };
        if !self.has_table(table) {
            return Err(NO_TABLE);
        }
        self.table_mut(table).retain(|r| !goes(r));
        Ok(())
    }
}
