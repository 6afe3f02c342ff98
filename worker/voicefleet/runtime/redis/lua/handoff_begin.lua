-- The call in a room is to move to another worker. KEYS: claim, handoff. args: job (that holds it), handoff_ttl_ms.
-- Returns 1 when the handoff is now wanted; 0: the job does not hold a live claim, or one is under way.
local claim = read_claim(redis.call('GET', KEYS[1]))
if not claim or claim.job ~= args.job or claim.state ~= 'live' or redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
redis.call('SET', KEYS[2], write_handoff({from_job = claim.job, from_worker = claim.worker, state = 'wanted',
  to_job = '', to_worker = ''}), 'PX', args.handoff_ttl_ms)
return 1
