//! The D-Bus contract of fwpd: interface XML, proxies, types and error names.
