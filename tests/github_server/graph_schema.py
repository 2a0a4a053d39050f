"""The part of GitHub's public GraphQL schema that clients of ours use: names, arguments and nullability as there."""

SCHEMA = """
scalar DateTime
interface Node { id: ID! }
scalar URI
scalar GitObjectID
interface Actor { login: String! }
interface Minimizable { isMinimized: Boolean! minimizedReason: String }
type Query {
  node(id: ID!): Node
  viewer: User!
  repository(owner: String!, name: String!, followRenames: Boolean = true): Repository
  rateLimit(dryRun: Boolean = false): RateLimit
}
type Mutation {
  addPullRequestReviewThreadReply(
    input: AddPullRequestReviewThreadReplyInput!
  ): AddPullRequestReviewThreadReplyPayload
  resolveReviewThread(input: ResolveReviewThreadInput!): ResolveReviewThreadPayload
  unresolveReviewThread(input: UnresolveReviewThreadInput!): UnresolveReviewThreadPayload
  minimizeComment(input: MinimizeCommentInput!): MinimizeCommentPayload
}
type RateLimit { cost: Int! limit: Int! remaining: Int! resetAt: DateTime! }
type User implements Node & Actor { id: ID! login: String! databaseId: Int name: String }
type Bot implements Node & Actor { id: ID! login: String! databaseId: Int }
type Mannequin implements Node & Actor { id: ID! login: String! databaseId: Int }
type Organization implements Node & Actor { id: ID! login: String! databaseId: Int name: String }
type Repository implements Node {
  id: ID! databaseId: Int name: String! nameWithOwner: String! isPrivate: Boolean!
  pullRequest(number: Int!): PullRequest
  issues(
    after: String, before: String, filterBy: IssueFilters, first: Int, labels: [String!], last: Int, orderBy: IssueOrder
    states: [IssueState!]
  ): IssueConnection!
}
enum IssueState { CLOSED OPEN }
enum IssueStateReason { COMPLETED DUPLICATE NOT_PLANNED REOPENED }
enum IssueOrderField { COMMENTS CREATED_AT UPDATED_AT }
enum OrderDirection { ASC DESC }
enum IssueTimelineItemsItemType { CLOSED_EVENT LABELED_EVENT REOPENED_EVENT UNLABELED_EVENT }
input IssueOrder { direction: OrderDirection! field: IssueOrderField! }
input IssueFilters { assignee: String createdBy: String labels: [String!] since: DateTime states: [IssueState!] }
type IssueConnection { nodes: [Issue] pageInfo: PageInfo! totalCount: Int! }
type Issue implements Node {
  id: ID! databaseId: Int number: Int! title: String! body: String! bodyText: String! author: Actor url: URI!
  createdAt: DateTime! updatedAt: DateTime! closedAt: DateTime locked: Boolean!
  state: IssueState! stateReason(enableDuplicate: Boolean = false): IssueStateReason
  labels(after: String, before: String, first: Int, last: Int): LabelConnection
  timelineItems(
    after: String, before: String, first: Int, itemTypes: [IssueTimelineItemsItemType!], last: Int, since: DateTime
    skip: Int
  ): IssueTimelineItemsConnection!
}
type LabelConnection { nodes: [Label] pageInfo: PageInfo! totalCount: Int! }
type Label implements Node { id: ID! name: String! description: String color: String! }
type IssueTimelineItemsConnection { nodes: [IssueTimelineItems] pageInfo: PageInfo! totalCount: Int! }
union IssueTimelineItems = LabeledEvent | UnlabeledEvent
type LabeledEvent implements Node { id: ID! actor: Actor createdAt: DateTime! label: Label! }
type UnlabeledEvent implements Node { id: ID! actor: Actor createdAt: DateTime! label: Label! }
type PageInfo { endCursor: String hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String }
type PullRequest implements Node {
  id: ID! number: Int! headRefOid: GitObjectID! headRefName: String! baseRefOid: GitObjectID! baseRefName: String!
  headRepository: Repository title: String! body: String! state: PullRequestState! isDraft: Boolean! merged: Boolean!
  locked: Boolean! url: URI! author: Actor createdAt: DateTime! updatedAt: DateTime!
  additions: Int! deletions: Int! changedFiles: Int!
  mergeable: MergeableState! mergeStateStatus: MergeStateStatus! reviewDecision: PullRequestReviewDecision
  labels(after: String, before: String, first: Int, last: Int): LabelConnection
  reviews(
    after: String, author: String, before: String, first: Int, last: Int, states: [PullRequestReviewState!]
  ): PullRequestReviewConnection
  commits(after: String, before: String, first: Int, last: Int): PullRequestCommitConnection!
  reviewThreads(after: String, before: String, first: Int, last: Int): PullRequestReviewThreadConnection!
}
type PullRequestReviewThreadConnection { nodes: [PullRequestReviewThread] pageInfo: PageInfo! totalCount: Int! }
type PullRequestReviewThread implements Node {
  id: ID! isResolved: Boolean! isOutdated: Boolean! isCollapsed: Boolean! path: String! line: Int startLine: Int
  resolvedBy: User viewerCanResolve: Boolean!
  comments(after: String, before: String, first: Int, last: Int, skip: Int): PullRequestReviewCommentConnection!
}
type PullRequestReviewCommentConnection { nodes: [PullRequestReviewComment] pageInfo: PageInfo! totalCount: Int! }
type PullRequestReviewComment implements Node & Minimizable {
  id: ID! databaseId: Int body: String! author: Actor authorAssociation: CommentAuthorAssociation!
  createdAt: DateTime! url: URI! outdated: Boolean! isMinimized: Boolean! minimizedReason: String
  pullRequestReview: PullRequestReview
}
type PullRequestReview implements Node {
  id: ID! databaseId: Int body: String! state: PullRequestReviewState! submittedAt: DateTime
  author: Actor commit: Commit
  authorCanPushToRepository: Boolean! authorAssociation: CommentAuthorAssociation!
}
type PullRequestReviewConnection { nodes: [PullRequestReview] pageInfo: PageInfo! totalCount: Int! }
type PullRequestCommitConnection { nodes: [PullRequestCommit] pageInfo: PageInfo! totalCount: Int! }
type PullRequestCommit implements Node { id: ID! commit: Commit! }
type Commit implements Node { id: ID! oid: GitObjectID! statusCheckRollup: StatusCheckRollup }
type StatusCheckRollup implements Node {
  id: ID! state: StatusState!
  contexts(after: String, before: String, first: Int, last: Int): StatusCheckRollupContextConnection!
}
type StatusCheckRollupContextConnection { nodes: [StatusCheckRollupContext] pageInfo: PageInfo! totalCount: Int! }
union StatusCheckRollupContext = CheckRun | StatusContext
type CheckSuite implements Node { id: ID! }
type CheckRun implements Node {
  id: ID! databaseId: Int name: String! status: CheckStatusState! conclusion: CheckConclusionState detailsUrl: URI
  externalId: String startedAt: DateTime completedAt: DateTime checkSuite: CheckSuite!
  isRequired(pullRequestId: ID, pullRequestNumber: Int): Boolean!
}
type StatusContext implements Node {
  id: ID! context: String! state: StatusState! targetUrl: URI description: String createdAt: DateTime!
  isRequired(pullRequestId: ID, pullRequestNumber: Int): Boolean!
}
enum PullRequestState { CLOSED MERGED OPEN }
enum MergeableState { CONFLICTING MERGEABLE UNKNOWN }
enum MergeStateStatus { BEHIND BLOCKED CLEAN DIRTY DRAFT HAS_HOOKS UNKNOWN UNSTABLE }
enum PullRequestReviewDecision { APPROVED CHANGES_REQUESTED REVIEW_REQUIRED }
enum PullRequestReviewState { APPROVED CHANGES_REQUESTED COMMENTED DISMISSED PENDING }
enum CommentAuthorAssociation {
  COLLABORATOR CONTRIBUTOR FIRST_TIMER FIRST_TIME_CONTRIBUTOR MANNEQUIN MEMBER NONE OWNER
}
enum StatusState { ERROR EXPECTED FAILURE PENDING SUCCESS }
enum CheckStatusState { COMPLETED IN_PROGRESS PENDING QUEUED REQUESTED WAITING }
enum CheckConclusionState {
  ACTION_REQUIRED CANCELLED FAILURE NEUTRAL SKIPPED STALE STARTUP_FAILURE SUCCESS TIMED_OUT
}
enum ReportedContentClassifiers { ABUSE DUPLICATE LOW_QUALITY OFF_TOPIC OUTDATED RESOLVED SPAM }
input AddPullRequestReviewThreadReplyInput {
  body: String! clientMutationId: String pullRequestReviewId: ID pullRequestReviewThreadId: ID!
}
input ResolveReviewThreadInput { clientMutationId: String threadId: ID! }
input UnresolveReviewThreadInput { clientMutationId: String threadId: ID! }
input MinimizeCommentInput { classifier: ReportedContentClassifiers! clientMutationId: String subjectId: ID! }
type AddPullRequestReviewThreadReplyPayload { clientMutationId: String comment: PullRequestReviewComment }
type ResolveReviewThreadPayload { clientMutationId: String thread: PullRequestReviewThread }
type UnresolveReviewThreadPayload { clientMutationId: String thread: PullRequestReviewThread }
type MinimizeCommentPayload { clientMutationId: String minimizedComment: Minimizable }
"""
