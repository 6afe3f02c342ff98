-- Give a worker an order, if no later leader leads. KEYS: term, and the worker's order or none. args: term (the giver's),
-- ttl_s, order. Without the second key, the giver only says that it leads now.
-- Returns 1, or 0: a later leader said so already, and this one comes too late.
if args.term < tonumber(redis.call('GET', KEYS[1]) or '-1') then
  return 0
end
redis.call('SET', KEYS[1], args.term, 'EX', args.ttl_s)
if KEYS[2] then
  redis.call('SET', KEYS[2], args.order, 'EX', args.ttl_s)
end
return 1
