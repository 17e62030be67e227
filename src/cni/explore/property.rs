//! What every run must keep.

use crate::cni::Conflist;
use crate::near::WordError;
use std::fmt;
use std::str::FromStr;

/// A property that every run is held against.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PluginProperty {
    /// After an ADD that returned success the pod reaches its gateway in time.
    Gateway,
    /// CHECK says yes after an ADD that returned success and was not disturbed since.
    Agrees,
    /// DEL succeeds and leaves nothing.
    Clean,
    /// DEL succeeds once more.
    Again,
    /// ADD succeeds after that.
    Readd,
    /// CHECK says no when the work of a step is undone.
    Notices,
    /// GC succeeds, takes away what belongs to attachments that it is not told of, and leaves alone what
    /// belongs to those that it is told of.
    Collects,
    /// STATUS says yes before an ADD that succeeds, and changes nothing.
    Status,
    /// No other pod loses its gateway meanwhile.
    Others,
}

impl PluginProperty {
    /// All of them, in the order in which they are shown.
    pub const ALL: [PluginProperty; 9] = [
        PluginProperty::Gateway,
        PluginProperty::Agrees,
        PluginProperty::Clean,
        PluginProperty::Again,
        PluginProperty::Readd,
        PluginProperty::Notices,
        PluginProperty::Collects,
        PluginProperty::Status,
        PluginProperty::Others,
    ];

    /// Those that a configuration can be held against: GC and STATUS came with version 1.1.0 of the
    /// specification, CHECK with 0.4.0.
    #[must_use]
    pub fn of(list: &Conflist) -> Vec<PluginProperty> {
        let asks = super::asks(list);
        let asked = |property: &PluginProperty| match property {
            PluginProperty::Collects => asks.gc,
            PluginProperty::Status => asks.status,
            PluginProperty::Agrees | PluginProperty::Notices => asks.check,
            _ => true,
        };
        PluginProperty::ALL.into_iter().filter(asked).collect()
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PluginProperty::Gateway => "gateway",
            PluginProperty::Agrees => "check",
            PluginProperty::Clean => "clean",
            PluginProperty::Again => "del-twice",
            PluginProperty::Readd => "re-add",
            PluginProperty::Notices => "notices",
            PluginProperty::Collects => "gc",
            PluginProperty::Status => "status",
            PluginProperty::Others => "others",
        }
    }

    /// What it says, and what it rests on: sections are those of the CNI specification 1.1.0.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            PluginProperty::Gateway => {
                "When ADD has returned success, the gateway that its result names (or that --gateway says) answers \
                 the pod within --within. Rests on section 2, ADD: the plugin connects the container when it is \
                 asked to, and a result is its word that it has; a runtime starts the containers then, and asks \
                 nobody else. Held against what the pod meets on the wire, since kubelets and their users see that."
            }
            PluginProperty::Agrees => {
                "CHECK says yes right after an ADD that returned success, when nothing was touched. Rests on section \
                 2, CHECK: it is the runtime's probe of a container that runs, and an error there means that \
                 something is missing or wrong."
            }
            PluginProperty::Clean => {
                "DEL succeeds after whatever became of ADD or of a DEL before it, and leaves no link, address, route, \
                 rule, neighbour entry that somebody made, changed sysctl of the node, table, chain or rule of \
                 nf_tables, lease or other file that was not there before. Rests on section 2, DEL: all that \
                 belongs to the attachment is released, and a DEL is to go on where parts are missing already; and on \
                 section 3, which has the runtime call DEL after an ADD that failed."
            }
            PluginProperty::Again => {
                "A second DEL succeeds and leaves nothing either. Rests on section 2, DEL: a plugin accepts several \
                 of them for the same container and interface, and returns success where there is nothing left."
            }
            PluginProperty::Readd => {
                "After that, ADD succeeds again, with its gateway in time. Rests on section 3: a runtime may ADD the same \
                 container and interface once more when a DEL lies between; kubelets do so on every failure."
            }
            PluginProperty::Notices => {
                "CHECK says no when the work of one step of ADD is undone by hand. Rests on section 2, CHECK: \
                 interfaces, addresses and routes of the result that are gone or wrong should be an error, \
                 and so should firewall rules, leases and what else keeps the container from being reached. It says should, \
                 and of what the plugin knows: a no here is a blind spot, and not always a fault."
            }
            PluginProperty::Collects => {
                "GC succeeds. Of an attachment whose ADD or DEL was cut, whose pod is gone, and which is not among \
                 cni.dev/valid-attachments, it leaves nothing, and of none with an empty list; a pod that is named \
                 there keeps its gateway and its CHECK. Rests on section 2, GC: a plugin removes as much as it can \
                 of what belongs to no attachment of the list, goes on over errors and reports them, hands GC on to \
                 the plugins that it delegates to, and may take the pod's namespace for gone. It says should: a \
                 lease that stays is an address that nobody gets."
            }
            PluginProperty::Status => {
                "STATUS says yes when the ADD that follows succeeds, and changes nothing. Rests on section 2, STATUS: \
                 success says that the plugin is ready for ADD, an error that it knows that it is not; it is for the \
                 runtime's information only. kubelets call a node NotReady by it."
            }
            PluginProperty::Others => {
                "No other pod of the node, wired by the same plugins before, misses its gateway for 100 ms and three \
                 questions meanwhile. Rests on section 1: a plugin's work is for the one container that it is called \
                 for; and on the field, where one pod's failure on a node must not be all pods'."
            }
        }
    }
}

impl fmt::Display for PluginProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PluginProperty {
    type Err = WordError;

    fn from_str(text: &str) -> Result<PluginProperty, WordError> {
        PluginProperty::ALL.into_iter().find(|it| it.name() == text).ok_or_else(|| {
            let names: Vec<_> = PluginProperty::ALL.iter().map(|it| it.name()).collect();
            format!("{text:?} is no property: {}", names.join(", ")).into()
        })
    }
}
