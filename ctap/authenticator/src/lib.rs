//! The platform authenticator: a CTAP2 authenticator, generic over where its keys live.
