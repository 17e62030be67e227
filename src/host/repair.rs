//! The smallest change to a host that removes one reason for silence.
