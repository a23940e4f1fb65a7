//! The wallet's encrypted store: sealing, key slots, migrations.
