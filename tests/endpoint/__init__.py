"""A fault-injecting OpenAI-compatible endpoint for tests: a process of its own, and its ledger.

It counts what it was asked and what it billed, whatever its client believes. It is written on
asyncio and the standard library alone, speaks HTTP/1.1 byte by byte, so that it can break it, and
imports nothing of ``pipeline``.

    python -m tests.endpoint --port 0 --script FILE.json [--ledger FILE.jsonl] [--until-eof]

prints one line of JSON (``port``, ``url``, ``pid``) once it listens. In tests::

    with start({"rules": [{"fault": "cut_body", "times": 3}]}, latency=0.05) as endpoint:
        OpenAI(base_url=endpoint.url, ...)
        assert endpoint.summary()["keys_billed_twice"] == []

Doors: ``GET /ledger`` (a list of `tests.endpoint.ledger.Entry`), ``GET /ledger/summary``,
``POST /script`` (another script from now on; the ledger goes on), ``POST /reset`` (empties the
ledger and its file, forgets files and batches, starts the script afresh). A request is in the
ledger, billed or not, from the moment it has arrived; ``sent`` and ``gone`` follow in memory.

**Billed** means that the work was done, whether or not the answer got through: a client that
vanishes is billed. ``key`` digests the messages (`completions.key_of`), ``pairs`` each two texts
found in the last user message (`completions.pair_key`). A request is ``early`` when it comes while
the server has asked to wait (seconds, milliseconds, date or x-ratelimit-reset), counted from when
the reply was sent plus ``grace``, in which requests may cross it, and for the same route only.

A script is a JSON object; every part may be missing:

    seed       whole number that decides ``rates`` and latencies, together with the messages and how
               often they were asked before: never with the order of arrival
    latency    seconds from a chat request's arrival to its answer; [least, most] for a spread
    rates      {"server_error": 0.1, "cut_body": 0.05}: shares of the chat requests
    rules      a list; the first that holds decides, before the rates. Parts of a rule:
                 fault     a name of the table below; besides, the options of that fault
                 route     chat (default), batch_line, models, files, batches
                 requests  [1, 4]: numbers among the requests of the route since the script was set
                 start     the first number
                 contains  part of the body as sent, or of the text of its messages
                 times     how often in all; without it, always
                 each      how often for the same messages: 1 fails every first try
                 billed    true or false, in place of the table
    limits     really enforced, 429 with Retry-After and x-ratelimit headers: requests and tokens
               in a window of ``window`` seconds (60), and concurrency
    headers    on every answer to a chat request that was not refused, e.g. x-ratelimit-...
    models     names there are, others are 404; key: the only key accepted, others are 401
    grace      seconds (0.05)
    model      grades ([0, 1, 2, 3, 4, 5]), style of an answer without schema (bare, json, fenced,
               prose), texts (a pattern whose last group is a text), order_bias (grades between the
               orders of two texts), first_item (1), cache_minimum (1024 tokens), say (in place of
               every grade); false turns off schemas, logprobs, usage
    batch      polls that find a batch validating (1), in_progress (1), finalizing (0); end
               (completed, failed, expired), answered (share of lines before it expires or is
               cancelled, 0.5), shuffle (true), duplicate and leave_out (lists of custom_id),
               unknown (answers to nobody's custom_id), broken_line. Lines fail by rules of the
               route batch_line: an error status puts them into the error file

Examples: every first try fails, every second is refused for half a second, the rest is good::

    {"rules": [{"fault": "server_error", "each": 1}, {"fault": "rate_limited_ms", "each": 1}]}
    {"latency": 0.05, "seed": 3, "rates": {"hang": 0.01, "invalid_json": 0.1, "refusal": 0.1}}
    {"limits": {"requests": 20, "window": 1, "concurrency": 8}, "key": "sk-good"}
    {"rules": [{"fault": "bad_request", "route": "batch_line", "contains": "the third text"}]}

The answer of the model is the overlap of two texts' words on the scale that is asked for
(`model.expected` is what its log-probabilities amount to); ``scores`` and other arrays of a schema
get one item for each two texts. Faults: name, billed, what happens (options with their defaults)::

    rate_limited         no   429, Retry-After in whole seconds (retry_after 1)
    rate_limited_float   no   429, Retry-After with a fraction (retry_after 0.5)
    rate_limited_ms      no   429, retry-after-ms (retry_after 0.5)
    rate_limited_date    no   429, Retry-After as an HTTP date (retry_after 1)
    rate_limited_long    no   429, Retry-After of an hour (retry_after 3600)
    rate_limited_reset   no   429, x-ratelimit-reset-requests only (retry_after 1)
    rate_limited_words   no   429, Retry-After: soon
    rate_limited_bare    no   429, no word on how long
    no_quota             no   429 insufficient_quota
    bad_request          no   400
    context_too_long     no   400 context_length_exceeded
    no_schema_support    no   400 when a json_schema is asked for
    no_logprobs_support  no   400 when logprobs are asked for
    wrong_key            no   401, the key's ends in the message
    echoed_key           no   401, the whole key in the message
    forbidden            no   403
    model_not_found      no   404 model_not_found
    server_error         no   500
    bad_gateway          no   502, a page of HTML
    unavailable          no   503, no word on how long
    unavailable_retry    no   503, Retry-After in whole seconds (retry_after 1)
    html_200             no   200 with a page of HTML
    error_200            no   200 with an error object
    close_unread         no   close before the body is read
    reset                no   reset (RST) after the request
    hang                 no   never an answer
    not_http             no   bytes that are no HTTP, then close
    gateway_timeout      yes  504, a page of HTML
    close_silent         yes  close without an answer
    hang_in_body         yes  half the body, then nothing
    cut_head             yes  close in the middle of the headers
    cut_body             yes  half the announced body, then close
    reset_in_body        yes  half the announced body, then RST
    cut_chunks           yes  chunked encoding, closed in a chunk
    promises_more        yes  Content-Length 64 too high, kept open
    promises_less        yes  Content-Length half of what is sent
    invalid_json         yes  200, half of the JSON
    empty_body           yes  200, no body
    gzip_garbage         yes  200, said to be gzip and is not
    wrong_shape          yes  200, JSON that is no completion (body {"result": "ok"})
    empty_choices        yes  200, choices: []
    null_content         yes  200, content: null
    empty_content        yes  200, content: ''
    refusal              yes  200, message.refusal
    content_filter       yes  200, finish_reason content_filter
    cut_off              yes  200, half the text, finish_reason length
    reasoning_only       yes  200, no text, tokens spent on reasoning, cut off (tokens 64)
    stale_answer         yes  200, the answer to the request before
    scripted             yes  200, the text of the rule (content "")
    no_usage             yes  200 without usage
    no_logprobs          yes  200 without the logprobs asked for
    empty_logprobs       yes  200, logprobs of no token
    nan_logprobs         yes  200, logprobs NaN
    out_of_scale         yes  200, a score of 97 (say 97)
    not_a_number         yes  200, a score of 'similar' (say "similar")
    no_schema            yes  200, prose although a schema is asked for (style "prose")
    slow                 yes  good, half a second late (seconds 0.5)
    drip                 yes  good, one byte a second (interval 1.0)
    extra_response       yes  good, and sent twice on the connection
    close_after          yes  good, then close without announcing it
"""
