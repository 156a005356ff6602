"""Crawling: polite, conditional requests to addresses that are public, into a mirror on disk.

addresses   which IP addresses are never dialled
fetching    one request, safely
locations   one spelling for each URL, and how far a crawl goes
robots      robots.txt, by RFC 9309
maps        the links of sitemaps and feeds
mirror      pages on the shelf, with what they came with
frontier    what is still to be visited, and what became of the rest
pace        when a host may be asked again
crawler     the loop over all of it
"""
