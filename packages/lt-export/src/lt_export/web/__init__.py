"""A static page that classifies in the browser."""

from lt_export.web.site import WebSite, write_site

__all__ = ["WebSite", "write_site"]
