//! The sites that are shipped.

use port502_site::site::{Profiles, Site, SourceFile, render};

/// The text of the water works.
pub(crate) const WATERWORKS: &str = include_str!("../../../../sites/waterworks.toml");

#[allow(clippy::panic, reason = "this is a test")]
pub(crate) fn parse(text: &str) -> Site {
    let files = [SourceFile { name: "site.toml", text }];
    Site::parse(&files, &Profiles::none())
        .unwrap_or_else(|errors| panic!("{}", render::text(&files, &errors, 99)))
}

#[test]
fn the_water_works_are_a_good_site() {
    let site = parse(WATERWORKS);
    assert_eq!(site.name(), "Northfield water works");
    assert_eq!((site.devices().len(), site.lanes().len(), site.computed().len()), (6, 3, 3));
    let level = site.tag(site.find("tank.level").unwrap());
    assert_eq!(level.point.to_string(), "holding:0:f32");
    assert_eq!(level.alarms().len(), 5);
    let flow = site.tag(site.find("intake.flow").unwrap());
    assert_eq!(flow.point.to_string(), "holding:100:f32:cdab", "the device's order");
}
