-- Give a worker an order, if no later leader leads. KEYS: term, and the worker's order or none. ARGV: the giver's term,
-- ttl_s, order. Without an order, the giver only says that it leads now.
-- Returns 1, or 0: a later leader said so already, and this one comes too late.
if tonumber(ARGV[1]) < tonumber(redis.call('GET', KEYS[1]) or '-1') then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
if KEYS[2] then
  redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[2])
end
return 1
