//! Hosts in networks of their own, with the guard between them.
